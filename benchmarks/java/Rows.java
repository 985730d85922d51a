import com.google.protobuf.CodedInputStream;
import com.google.protobuf.CodedOutputStream;
import com.google.protobuf.WireFormat;
import hex.genmodel.MojoModel;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.util.Arrays;
import java.util.HashMap;
import java.util.Map;

/** A MOJO of H2O (gbm_50x5) by score0. */
final class Rows implements Scorer {
  private static final int NUMBERS = 10;
  private static final int COLUMNS = 12;

  private final MojoModel model;
  private final Map<String, Double>[] levels;
  private final String[] labels;
  private final double[] row = new double[COLUMNS];
  private final double[] scores = new double[3];
  private final byte[] answer = new byte[256];

  @SuppressWarnings({"unchecked", "rawtypes"})
  Rows(String mojo) throws IOException {
    model = MojoModel.load(mojo);
    labels = model.getDomainValues(model.getResponseIdx());
    levels = new Map[COLUMNS];
    for (int column = NUMBERS; column < COLUMNS; column++) {
      levels[column] = new HashMap<>();
      String[] names = model.getDomainValues(column);
      for (int number = 0; number < names.length; number++) {
        levels[column].put(names[number], (double) number);
      }
    }
  }

  @Override
  public byte[] score(byte[] request) {
    try {
      Arrays.fill(row, Double.NaN);
      CodedInputStream in = CodedInputStream.newInstance(request);
      for (int tag; (tag = in.readTag()) != 0; ) {
        int column = WireFormat.getTagFieldNumber(tag) - 1;
        if (column < NUMBERS) {
          row[column] = in.readDouble();
        } else if (column < COLUMNS) {
          row[column] = levels[column].getOrDefault(in.readStringRequireUtf8(), Double.NaN);
        } else {
          in.skipField(tag);
        }
      }
      model.score0(row, scores);
      CodedOutputStream out = CodedOutputStream.newInstance(answer);
      out.writeString(1, labels[(int) scores[0]]);
      out.writeDouble(2, scores[1]);
      out.writeDouble(3, scores[2]);
      return Arrays.copyOf(answer, out.getTotalBytesWritten());
    } catch (IOException error) {
      throw new UncheckedIOException(error);
    }
  }
}
