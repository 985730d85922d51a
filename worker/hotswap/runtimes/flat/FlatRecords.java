package hotswap.flat;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.Arrays;

/**
 * Answers record batches of requests with record batches of answers, in one call: reads the records, decodes, scores and
 * encodes their values, and writes the answers as the producer sends them.
 *
 * <p>Declines requests as FlatRows does. If any is declined, the result lists the declined requests, and the caller
 * repeats the order with the fallback's answers to them, which are then written in their places.
 *
 * <p>host/sealing.py packs an order. The result is u32 SEALED and the batches as RecordWriter writes them; or u32
 * DECLINED, u32 n, n x (i64 offset, u32 begin, u32 end: the place of its record in the data); or u32 UNREADABLE: a record
 * is malformed, and no request was answered. All is little-endian.
 */
public final class FlatRecords {
  private static final int SEALED = 0, DECLINED = 1, UNREADABLE = 2;

  private final RowReader reader;
  private final RowTable table;
  private final AnswerWriter writer;
  private final Pending pending = new Pending();
  private final WireWriter out = new WireWriter(); // one answer
  private final RecordWriter records = new RecordWriter();
  private ByteBuffer result = ByteBuffer.allocateDirect(0);

  private byte[] bytes = new byte[0];
  private long[] declined = new long[3 << 4]; // offset, begin and end of each request
  private int declinedCount;
  private int maxAnswer, maxRequest, maxRecord;

  public FlatRecords(BlockScorer scorer, RowReader reader, AnswerWriter writer) {
    this.reader = reader;
    this.table = new RowTable(scorer, reader.columns(), writer.width());
    this.writer = writer;
  }

  /** Executes one order. The returned buffer is valid until the next call. */
  public ByteBuffer seal(ByteBuffer order) {
    order.order(ByteOrder.LITTLE_ENDIAN);
    long from = order.getLong();
    long until = order.getLong();
    RecordWriter.Stamp stamp = new RecordWriter.Stamp(
        order.getLong(), order.getShort(), order.getInt(), order.getShort(), order.getLong(), order.getInt());
    maxAnswer = order.getInt();
    maxRequest = order.getInt();
    maxRecord = order.getInt();
    records.open(stamp, new RecordWriter.Headers(bytes(order), bytes(order), bytes(order)));
    byte[][] read = names(order);
    byte[][] single = names(order);
    int count = order.getInt();
    long[] offsets = new long[count];
    int[] ends = new int[count + 1];
    byte[] answers = bytes(order);
    for (int i = 0; i < count; i++) {
      offsets[i] = order.getLong();
      ends[i + 1] = ends[i] + order.getInt();
    }
    int size = order.remaining();
    if (bytes.length < size) {
      bytes = new byte[2 * size];
    }
    order.get(bytes, 0, size);
    declinedCount = 0;
    clear();
    try {
      RecordReader requests = new RecordReader(read, single);
      requests.open(bytes, 0, size);
      while (requests.next()) {
        if (requests.offset >= from && requests.offset < until) {
          take(requests, Arrays.binarySearch(offsets, requests.offset));
          if (table.isLarge() || pending.isFull()) {
            write(requests, answers, ends);
          }
        }
      }
      write(requests, answers, ends);
    } catch (Declined unreadable) {
      return empty(UNREADABLE);
    }
    return declinedCount > 0 ? declined() : sealed();
  }

  private void take(RecordReader record, int answer) {
    int before = table.size();
    Pending.Request request = pending.add(record);
    request.first = request.last = before;
    if (answer >= 0) {
      request.answer = answer;
    } else if (!isPlain(record) || !read(record)) {
      pending.removeLast();
      table.truncate(before);
      decline(request);
    }
    request.last = table.size();
  }

  private boolean isPlain(RecordReader record) {
    return record.hasPlainHeaders() && record.valueLength >= 0 && record.valueLength <= maxRequest
        && record.end - record.begin <= maxRecord;
  }

  private boolean read(RecordReader record) {
    try {
      reader.read(record.bytes, record.value, record.valueLength, table);
      return true;
    } catch (RuntimeException error) {
      return false; // the fallback finds the reason, and reports it
    }
  }

  /** Writes the answers to the pending requests, unless a request is declined: the next call then writes them. */
  private void write(RecordReader record, byte[] answers, int[] ends) {
    if (declinedCount == 0) {
      try {
        double[] scores = table.scores();
        for (int i = 0; i < pending.size(); i++) {
          Pending.Request request = pending.get(i);
          if (request.answer == Pending.NO_ANSWER) {
            answer(record, request, scores);
          } else if (ends[request.answer] < ends[request.answer + 1]) {
            records.add(answers, ends[request.answer], ends[request.answer + 1] - ends[request.answer]);
          }
        }
      } catch (RuntimeException error) { // the model's, for one of the rows
        declinedCount = 0;
        for (int i = 0; i < pending.size(); i++) {
          if (pending.get(i).answer == Pending.NO_ANSWER) {
            decline(pending.get(i));
          }
        }
      }
    }
    clear();
  }

  private void answer(RecordReader record, Pending.Request request, double[] scores) {
    out.truncate(0);
    boolean isWritten = writer.write(scores, request.first, request.last, out);
    // The topic's limit exceeds maxAnswer by more than our own headers take.
    long whole = (long) out.end() + Math.max(request.keyLength, 0) + request.headersLength;
    if (isWritten && whole <= maxAnswer) {
      records.add(record, request, out.bytes(), out.end());
    } else {
      decline(request);
    }
  }

  private void decline(Pending.Request request) {
    if (declined.length < 3 * (declinedCount + 1)) {
      declined = Arrays.copyOf(declined, 2 * declined.length);
    }
    declined[3 * declinedCount] = request.offset;
    declined[3 * declinedCount + 1] = request.begin;
    declined[3 * declinedCount + 2] = request.end;
    declinedCount++;
  }

  private void clear() {
    pending.clear();
    table.truncate(0);
  }

  private ByteBuffer sealed() {
    int size = records.size();
    ByteBuffer to = room(Integer.BYTES + size).putInt(SEALED);
    records.write(to);
    return to.flip();
  }

  private ByteBuffer declined() {
    int size = 2 * Integer.BYTES + declinedCount * (Long.BYTES + 2 * Integer.BYTES);
    ByteBuffer to = room(size).putInt(DECLINED).putInt(declinedCount);
    for (int i = 0; i < 3 * declinedCount; i += 3) {
      to.putLong(declined[i]).putInt((int) declined[i + 1]).putInt((int) declined[i + 2]);
    }
    return to.flip();
  }

  private ByteBuffer empty(int status) {
    return room(Integer.BYTES).putInt(status).flip();
  }

  private ByteBuffer room(int bytes) {
    if (result.capacity() < bytes) {
      result = ByteBuffer.allocateDirect(2 * bytes).order(ByteOrder.LITTLE_ENDIAN);
    }
    return result.clear();
  }

  private static byte[][] names(ByteBuffer from) {
    byte[][] names = new byte[from.getInt()][];
    for (int i = 0; i < names.length; i++) {
      names[i] = bytes(from);
    }
    return names;
  }

  private static byte[] bytes(ByteBuffer from) {
    byte[] found = new byte[from.getInt()];
    from.get(found);
    return found;
  }
}
