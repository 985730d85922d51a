package hotswap.flat;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/** Numbers the texts of requests, so that a row of numbers can hold them. */
public final class Texts {
  private static final int MAX_TEXTS = 1 << 16;
  private static final int MAX_BYTES = 1 << 24;

  private final Map<String, Double> numbers = new HashMap<>();
  private final List<byte[]> added = new ArrayList<>(); // the texts that nobody has taken yet, in UTF-8
  private long bytes;
  private int taken;

  double number(String text) {
    Double number = numbers.get(text);
    if (number == null) {
      number = (double) numbers.size();
      numbers.put(text, number);
      byte[] encoded = text.getBytes(StandardCharsets.UTF_8);
      added.add(encoded);
      bytes += encoded.length;
    }
    return number;
  }

  /** Forgets all texts if they have become many. No row may be in use that holds the number of one. */
  void limit() {
    if (numbers.size() > MAX_TEXTS || bytes > MAX_BYTES) {
      numbers.clear();
      added.clear();
      bytes = 0;
      taken = 0;

    }
  }

  /** How many texts have been taken, which is the number of the next one. */
  int taken() {
    return taken;
  }

  /** Takes the texts that were added since the last call, as a Batch has its requests; null if there is none. */
  byte[] take() {
    if (added.isEmpty()) {
      return null;
    }
    int size = added.stream().mapToInt(text -> text.length).sum();
    ByteBuffer texts = ByteBuffer.allocate(Integer.BYTES * (1 + added.size()) + size).order(ByteOrder.LITTLE_ENDIAN);
    texts.putInt(added.size());
    added.forEach(text -> texts.putInt(text.length));
    added.forEach(texts::put);
    taken += added.size();
    added.clear();
    return texts.array();
  }
}
