package hotswap.flat;

/** The requests that are read, and whose answers are not written yet. */
final class Pending {
  static final int NO_ANSWER = -1;

  /** The places of a request's parts in the data, and its rows; the objects are reused. */
  static final class Request {
    long offset;
    int begin, end;
    int key, keyLength;
    int headers, headersLength, headerCount;
    int first, last; // rows in the table
    int answer; // the index of the fallback's answer among those of the order, or NO_ANSWER
  }

  private static final int MAX = 4_096;

  private final Request[] requests = new Request[MAX];
  private int size;

  Pending() {
    for (int i = 0; i < MAX; i++) {
      requests[i] = new Request();
    }
  }

  Request add(RecordReader record) {
    Request request = requests[size++];
    request.offset = record.offset;
    request.begin = record.begin;
    request.end = record.end;
    request.key = record.key;
    request.keyLength = record.keyLength;
    request.headers = record.headers;
    request.headersLength = record.headersLength;
    request.headerCount = record.headerCount;
    request.answer = NO_ANSWER;
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
