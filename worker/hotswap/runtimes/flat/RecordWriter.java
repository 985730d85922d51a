package hotswap.flat;

import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.zip.CRC32C;

/**
 * Writes finished record batches (format v2, KIP-98), as a producer sends them: with its id, its epoch, and sequence
 * numbers that continue from batch to batch.
 */
final class RecordWriter {
  /**
   * The fields of every batch's header.
   *
   * @param maxBytes the largest batch of more than one record
   */
  record Stamp(long producer, short epoch, int sequence, short attributes, long timestamp, int maxBytes) {}

  /** The headers of an answer: its generation, its operation, and its source up to the offset. */
  record Headers(byte[] generation, byte[] operation, byte[] place) {}

  private static final int OVERHEAD = 12, MAGIC = 2, CRC_AT = 17, TIMES_AT = 27, PRODUCER_AT = 43, EPOCH_AT = 51;
  private static final int SEQUENCE_AT = 53;
  private static final int OURS = 4; // headers
  private static final int MAX_VARINT = 5, MAX_DIGITS = 20;
  private static final byte[] SOURCE = "\14source".getBytes(StandardCharsets.US_ASCII); // behind its length, zigzag

  private final CRC32C crc = new CRC32C();
  private byte[] out = new byte[1 << 20];
  private byte[] digits = new byte[MAX_DIGITS];
  private int[] sizes = new int[16]; // of each batch: its bytes, its records
  private Stamp stamp;
  private Headers headers;
  private int batches, end, start, count, sequence;

  /** Discards all batches. */
  void open(Stamp stamp, Headers headers) {
    this.stamp = stamp;
    this.headers = headers;
    sequence = stamp.sequence;
    batches = end = start = count = 0;
  }

  /** Adds the answer to a request: the first `length` bytes of `answer`. */
  void add(RecordReader record, Pending.Request request, byte[] answer, int length) {
    int digitsAt = digits(request.offset);
    int sourceLength = headers.place.length + MAX_DIGITS - digitsAt;
    int tail = headers.generation.length + headers.operation.length + request.headersLength + SOURCE.length
        + size(sourceLength) + sourceLength;
    int body = size(request.keyLength) + Math.max(request.keyLength, 0) + size(length) + length
        + size(OURS + request.headerCount) + tail;
    begin(body);
    varint(request.keyLength);
    copy(record.bytes, request.key, Math.max(request.keyLength, 0));
    varint(length);
    copy(answer, 0, length);
    varint(OURS + request.headerCount);
    if (request.headerCount == 0) {
      copy(headers.generation, 0, headers.generation.length);
      copy(headers.operation, 0, headers.operation.length);
    } else {
      copy(record.bytes, request.headers, request.headersLength);
      copy(headers.operation, 0, headers.operation.length);
      copy(headers.generation, 0, headers.generation.length);
    }
    copy(SOURCE, 0, SOURCE.length);
    varint(sourceLength);
    copy(headers.place, 0, headers.place.length);
    copy(digits, digitsAt, MAX_DIGITS - digitsAt);
  }

  /** Adds a record with this key, value and headers, serialized. */
  void add(byte[] written, int at, int length) {
    begin(length);
    copy(written, at, length);
  }

  /** The size of the batches: u32 n, n x (u32 bytes, u32 records), and the batches joined; little-endian. */
  int size() {
    finish();
    return Integer.BYTES * (1 + 2 * batches) + end;
  }

  void write(ByteBuffer to) {
    to.putInt(batches);
    for (int i = 0; i < 2 * batches; i++) {
      to.putInt(sizes[i]);
    }
    to.put(out, 0, end);
  }

  /** Begins a record whose key, value and headers take `tail` bytes, in a new batch if this one has no room. */
  private void begin(int tail) {
    int body = 2 + size(count) + tail; // its attributes and timestamp are 0
    if (count > 0 && end - start + size(body) + body > stamp.maxBytes) {
      finish();
      body = 2 + size(count) + tail;
    }
    room(RecordReader.HEAD + MAX_VARINT + body);
    if (count == 0) {
      end += RecordReader.HEAD;
    }
    varint(body);
    out[end++] = 0;
    out[end++] = 0;
    varint(count++);
  }

  private void finish() {
    if (count == 0) {
      return;
    }
    RecordReader.LONGS.set(out, start, 0L);
    RecordReader.INTS.set(out, start + RecordReader.LENGTH_AT, end - start - OVERHEAD);
    RecordReader.INTS.set(out, start + OVERHEAD, -1); // the leader's epoch
    out[start + RecordReader.MAGIC_AT] = MAGIC;
    RecordReader.SHORTS.set(out, start + RecordReader.ATTRIBUTES_AT, stamp.attributes);
    RecordReader.INTS.set(out, start + RecordReader.LAST_DELTA_AT, count - 1);
    RecordReader.LONGS.set(out, start + TIMES_AT, stamp.timestamp);
    RecordReader.LONGS.set(out, start + TIMES_AT + Long.BYTES, stamp.timestamp);
    RecordReader.LONGS.set(out, start + PRODUCER_AT, stamp.producer);
    RecordReader.SHORTS.set(out, start + EPOCH_AT, stamp.epoch);
    RecordReader.INTS.set(out, start + SEQUENCE_AT, sequence);
    RecordReader.INTS.set(out, start + RecordReader.COUNT_AT, count);
    crc.reset();
    crc.update(out, start + RecordReader.ATTRIBUTES_AT, end - start - RecordReader.ATTRIBUTES_AT);
    RecordReader.INTS.set(out, start + CRC_AT, (int) crc.getValue());
    if (sizes.length < 2 * (batches + 1)) {
      sizes = Arrays.copyOf(sizes, 2 * sizes.length);
    }
    sizes[2 * batches] = end - start;
    sizes[2 * batches + 1] = count;
    batches++;
    sequence = sequence + count & Integer.MAX_VALUE; // Kafka's wrap to 0
    start = end;
    count = 0;
  }

  /** Writes a number to the end of `digits`; returns the place of its first digit. */
  private int digits(long number) {
    int at = MAX_DIGITS;
    do {
      digits[--at] = (byte) ('0' + number % 10);
      number /= 10;
    } while (number > 0);
    return at;
  }

  private static int size(int value) {
    int zigzag = value << 1 ^ value >> 31;
    return zigzag == 0 ? 1 : (38 - Integer.numberOfLeadingZeros(zigzag)) / 7;
  }

  private void varint(int value) {
    int zigzag = value << 1 ^ value >> 31;
    for (; (zigzag & ~0x7F) != 0; zigzag >>>= 7) {
      out[end++] = (byte) (zigzag & 0x7F | 0x80);
    }
    out[end++] = (byte) zigzag;
  }

  private void copy(byte[] bytes, int at, int length) {
    System.arraycopy(bytes, at, out, end, length);
    end += length;
  }

  private void room(int bytes) {
    if (out.length - end < bytes) {
      out = Arrays.copyOf(out, 2 * (end + bytes));
    }
  }
}
