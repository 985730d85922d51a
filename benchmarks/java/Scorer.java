import java.io.IOException;
import java.io.UncheckedIOException;
import java.util.ArrayList;
import java.util.List;

/** Hard-coded for one model and its proto: bytes in, bytes out. */
interface Scorer {
  byte[] score(byte[] request) throws IOException;

  /** All that a consumer polls at once; a library that takes many rows at once gets them so. */
  default List<byte[]> scoreAll(List<byte[]> requests) {
    List<byte[]> answers = new ArrayList<>(requests.size());
    try {
      for (byte[] request : requests) {
        answers.add(score(request));
      }
    } catch (IOException error) {
      throw new UncheckedIOException(error);
    }
    return answers;
  }

  /** How many that is at most. */
  default int atOnce() {
    return 5_000;
  }
}
