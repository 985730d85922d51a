package hotswap.flat;

import java.nio.ByteBuffer;
import java.util.Arrays;

/**
 * Answers a batch of requests in one call: decodes their rows, scores them and encodes the answers.
 *
 * <p>Handles well-formed requests; declines the rest (unusual bytes, an unknown category, a model that throws) to the
 * fallback in Python. So both paths give the same answers, and policies and messages are written once.
 */
public final class FlatRows {
  private final RowReader reader;
  private final RowTable table;
  private final AnswerWriter writer;
  private final Batch batch = new Batch();

  private int[] firsts = new int[0]; // the first row of each request in the table, and the row after the last one's

  public FlatRows(BlockScorer scorer, RowReader reader, AnswerWriter writer) {
    this.reader = reader;
    this.table = new RowTable(scorer, reader.columns(), writer.width());
    this.writer = writer;
  }

  /** Answers a Batch. The returned buffer is valid until the next call. */
  public ByteBuffer answer(ByteBuffer requests) {
    batch.open(requests);
    table.truncate(0);
    int[] lengths = batch.lengths();
    firsts = new int[lengths.length + 1];
    int answered = 0;
    for (int i = 0, begin = 0; i < lengths.length; i++) {
      int length = lengths[i];
      firsts[i] = table.size();
      if (!read(begin, length)) {
        lengths[i] = Batch.DECLINED;
        table.truncate(firsts[i]);
      }
      begin += length;
      firsts[i + 1] = table.size();
      if (table.isLarge() || i + 1 == lengths.length) {
        write(answered, i + 1);
        answered = i + 1;
      }
    }
    return batch.answers();
  }

  private boolean read(int begin, int length) {
    try {
      reader.read(batch.requests(), begin, length, table);
      return true;
    } catch (RuntimeException error) {
      return false; // the fallback finds the reason, and reports it
    }
  }

  /** Answers the requests from `first` to `last`, whose rows are all rows of the table. */
  private void write(int first, int last) {
    int[] lengths = batch.lengths();
    WireWriter out = batch.out();
    int start = out.end();
    try {
      double[] scores = table.scores();
      for (int i = first; i < last; i++) {
        if (lengths[i] != Batch.DECLINED) {
          int before = out.end();
          boolean isWritten = writer.write(scores, firsts[i], firsts[i + 1], out);
          lengths[i] = isWritten ? out.end() - before : Batch.DECLINED;
        }
      }
    } catch (RuntimeException error) { // the model's, for one of the rows
      out.truncate(start);
      Arrays.fill(lengths, first, last, Batch.DECLINED);
    }
    table.truncate(0);
  }
}
