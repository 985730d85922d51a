import com.google.protobuf.CodedInputStream;
import com.google.protobuf.CodedOutputStream;
import com.google.protobuf.WireFormat;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.apache.spark.ml.PipelineModel;
import org.apache.spark.ml.linalg.Vector;
import org.apache.spark.sql.Dataset;
import org.apache.spark.sql.Row;
import org.apache.spark.sql.RowFactory;
import org.apache.spark.sql.SparkSession;
import org.apache.spark.sql.types.StructType;

/** A pipeline of Spark (tests/models/spark/churn.zip): `transform` of all that was polled. */
final class Pipeline implements Scorer {
  private static final StructType COLUMNS = new StructType()
      .add("plan", "string").add("region", "string").add("age", "double").add("balance", "double").add("calls", "double");
  private static final int TEXTS = 2;

  private final SparkSession spark =
      SparkSession.builder().master("local[2]").config("spark.ui.enabled", "false").getOrCreate();
  private final PipelineModel model;
  private final byte[] answer = new byte[256];

  Pipeline(String path) {
    spark.sparkContext().setLogLevel("ERROR"); // nobody reads what it logs of each batch
    model = PipelineModel.load(path);
  }

  @Override
  public int atOnce() {
    return 20_000;
  }

  @Override
  public byte[] score(byte[] request) {
    return scoreAll(List.of(request)).get(0);
  }

  @Override
  public List<byte[]> scoreAll(List<byte[]> requests) {
    try {
      List<Row> rows = new ArrayList<>(requests.size());
      for (byte[] request : requests) {
        rows.add(read(request));
      }
      Dataset<Row> scored = model.transform(spark.createDataFrame(rows, COLUMNS)).select("prediction", "probability");
      List<byte[]> answers = new ArrayList<>(requests.size());
      for (Row row : scored.collectAsList()) {
        answers.add(written(row.getDouble(0), row.getAs(1)));
      }
      return answers;
    } catch (IOException error) {
      throw new UncheckedIOException(error);
    }
  }

  private static Row read(byte[] request) throws IOException {
    Object[] values = new Object[COLUMNS.size()];
    CodedInputStream in = CodedInputStream.newInstance(request);
    for (int tag; (tag = in.readTag()) != 0; ) {
      int column = WireFormat.getTagFieldNumber(tag) - 1;
      if (column < TEXTS) {
        values[column] = in.readStringRequireUtf8();
      } else if (column < values.length) {
        values[column] = in.readDouble();
      } else {
        in.skipField(tag);
      }
    }
    return RowFactory.create(values);
  }

  private byte[] written(double prediction, Vector probability) throws IOException {
    CodedOutputStream out = CodedOutputStream.newInstance(answer);
    out.writeDouble(1, prediction);
    out.writeTag(2, WireFormat.WIRETYPE_LENGTH_DELIMITED);
    out.writeUInt32NoTag(Double.BYTES * probability.size());
    for (double share : probability.toArray()) {
      out.writeDoubleNoTag(share);
    }
    return Arrays.copyOf(answer, out.getTotalBytesWritten());
  }
}
