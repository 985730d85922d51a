package hotswap;

/** The requests whose rows are decoded, and whose answers are not yet written. */
final class Pending {
  static final int NOT_GIVEN = -1;

  /** Where a request's parts are, and which rows are its own; the objects are used again. */
  static final class Request {
    long offset;
    int begin, end;
    int key, keyLength;
    int headers, headersLength, headerCount;
    int first, last; // of its rows in the table
    int given; // the place of the answer that came with the order, or NOT_GIVEN
  }

  private static final int MAX = 4_096;

  private final Request[] requests = new Request[MAX];
  private int size;

  Pending() {
    for (int i = 0; i < MAX; i++) {
      requests[i] = new Request();
    }
  }

  Request add(RecordReader of) {
    Request request = requests[size++];
    request.offset = of.offset;
    request.begin = of.begin;
    request.end = of.end;
    request.key = of.key;
    request.keyLength = of.keyLength;
    request.headers = of.headers;
    request.headersLength = of.headersLength;
    request.headerCount = of.headerCount;
    request.given = NOT_GIVEN;
    return request;
  }

  Request get(int place) {
    return requests[place];
  }

  int size() {
    return size;
  }

  boolean isFull() {
    return size == MAX;
  }

  void removeLast() {
    size--;
  }

  void clear() {
    size = 0;
  }
}
