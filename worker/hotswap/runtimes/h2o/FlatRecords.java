package hotswap;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.Arrays;

/**
 * Answers requests as record batches with record batches, in one call: reads the records, decodes, scores and encodes
 * their values, and writes the answers as the producer sends them.
 *
 * <p>It answers only what is plainly good, as FlatRows does. The requests that it leaves are returned instead, and the
 * call is repeated with their answers, which it then writes in their places.
 *
 * <p>An order is as host/sealing.py packs it. The result is u32 SEALED and the batches as RecordWriter writes them; or u32
 * LEFT, u32 n, n x (i64 offset, u32 where its record begins in the data, u32 where it ends); or u32 UNREADABLE: some
 * record is not as it should be, and none was answered. All is little-endian.
 */
public final class FlatRecords {
  private static final int SEALED = 0, LEFT = 1, UNREADABLE = 2;

  private final RowReader reader;
  private final RowTable table;
  private final AnswerWriter writer;
  private final Pending pending = new Pending();
  private final RecordWriter records = new RecordWriter();
  private ByteBuffer result = ByteBuffer.allocateDirect(0);

  private byte[] bytes = new byte[0];
  private long[] left = new long[3 << 4]; // of each: its offset, its begin, its end
  private int leftSize;
  private int maxAnswer, maxRequest, maxRecord;

  public FlatRecords(BlockScorer scorer, RowReader reader, AnswerWriter writer) {
    this.reader = reader;
    this.table = new RowTable(scorer, reader.columns(), writer.width());
    this.writer = writer;
  }

  /** Carries out an order; what it returns holds until the next one. */
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
    int given = order.getInt();
    long[] offsets = new long[given];
    int[] ends = new int[given + 1];
    byte[] answers = bytes(order);
    for (int i = 0; i < given; i++) {
      offsets[i] = order.getLong();
      ends[i + 1] = ends[i] + order.getInt();
    }
    int size = order.remaining();
    if (bytes.length < size) {
      bytes = new byte[2 * size];
    }
    order.get(bytes, 0, size);
    leftSize = 0;
    clear();
    try {
      RecordReader requests = new RecordReader(read, single);
      requests.read(bytes, 0, size);
      while (requests.next()) {
        if (requests.offset >= from && requests.offset < until) {
          take(requests, Arrays.binarySearch(offsets, requests.offset));
          if (table.isLarge() || pending.isFull()) {
            write(requests, answers, ends);
          }
        }
      }
      write(requests, answers, ends);
    } catch (Wire.Odd odd) {
      return empty(UNREADABLE);
    }
    return leftSize > 0 ? left() : sealed();
  }

  private void take(RecordReader record, int given) {
    int before = table.size();
    Pending.Request request = pending.add(record);
    request.first = request.last = before;
    if (given >= 0) {
      request.given = given;
    } else if (!isCovered(record) || !read(record)) {
      pending.removeLast();
      table.cut(before);
      leave(request);
    }
    request.last = table.size();
  }

  private boolean isCovered(RecordReader record) {
    return record.isCovered() && record.valueLength >= 0 && record.valueLength <= maxRequest
        && record.end - record.begin <= maxRecord;
  }

  private boolean read(RecordReader record) {
    try {
      reader.read(record.bytes, record.value, record.valueLength, table);
      return true;
    } catch (RuntimeException error) {
      return false; // the plain path finds out what it is, and says so
    }
  }

  /** Writes the answers to the pending requests, unless some request is left: then another call will. */
  private void write(RecordReader of, byte[] answers, int[] ends) {
    if (leftSize == 0) {
      try {
        double[] scores = table.scores();
        for (int i = 0; i < pending.size(); i++) {
          Pending.Request request = pending.get(i);
          if (request.given == Pending.NOT_GIVEN) {
            answer(of, request, scores);
          } else if (ends[request.given] < ends[request.given + 1]) {
            records.add(answers, ends[request.given], ends[request.given + 1] - ends[request.given]);
          }
        }
      } catch (RuntimeException error) { // the model's, for one of the rows
        leftSize = 0;
        for (int i = 0; i < pending.size(); i++) {
          if (pending.get(i).given == Pending.NOT_GIVEN) {
            leave(pending.get(i));
          }
        }
      }
    }
    clear();
  }

  private void answer(RecordReader of, Pending.Request request, double[] scores) {
    writer.cut(0);
    int length = writer.write(scores, request.first, request.last);
    // The topic's limit is beyond maxAnswer by more than our own headers take.
    long whole = (long) length + Math.max(request.keyLength, 0) + request.headersLength;
    if (length == FlatRows.LEFT || whole > maxAnswer) {
      leave(request);
    } else {
      records.add(of, request, writer.bytes(), length);
    }
  }

  private void leave(Pending.Request request) {
    if (left.length < 3 * (leftSize + 1)) {
      left = Arrays.copyOf(left, 2 * left.length);
    }
    left[3 * leftSize] = request.offset;
    left[3 * leftSize + 1] = request.begin;
    left[3 * leftSize + 2] = request.end;
    leftSize++;
  }

  private void clear() {
    pending.clear();
    table.cut(0);
    writer.cut(0);
  }

  private ByteBuffer sealed() {
    int size = records.size();
    ByteBuffer to = room(Integer.BYTES + size).putInt(SEALED);
    records.write(to);
    return to.flip();
  }

  private ByteBuffer left() {
    ByteBuffer to = room(2 * Integer.BYTES + leftSize * (Long.BYTES + 2 * Integer.BYTES)).putInt(LEFT).putInt(leftSize);
    for (int i = 0; i < 3 * leftSize; i += 3) {
      to.putLong(left[i]).putInt((int) left[i + 1]).putInt((int) left[i + 2]);
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
