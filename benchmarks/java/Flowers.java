import com.google.protobuf.CodedInputStream;
import com.google.protobuf.CodedOutputStream;
import com.google.protobuf.WireFormat;
import iris.Model;
import java.io.IOException;
import java.util.Arrays;

/** List f(String csv): a header and a line for each call. */
final class Flowers implements Scorer {
  private final byte[] answer = new byte[64];

  Flowers(String model) {}

  @Override
  public byte[] score(byte[] request) throws IOException {
    double sepal = 0;
    double petal = 0;
    CodedInputStream in = CodedInputStream.newInstance(request);
    for (int tag; (tag = in.readTag()) != 0; ) {
      switch (WireFormat.getTagFieldNumber(tag)) {
        case 1 -> sepal = in.readDouble();
        case 2 -> petal = in.readDouble();
        default -> in.skipField(tag);
      }
    }
    CodedOutputStream out = CodedOutputStream.newInstance(answer);
    for (String label : Model.predict("sepal_len,petal_len\n" + sepal + "," + petal + "\n")) {
      out.writeString(1, label);
    }
    return Arrays.copyOf(answer, out.getTotalBytesWritten());
  }
}
