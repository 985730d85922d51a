package lake;

import hex.genmodel.MojoModel;
import hex.genmodel.easy.EasyPredictModelWrapper;
import hex.genmodel.easy.RowData;
import hex.genmodel.easy.exception.PredictException;
import hex.genmodel.easy.prediction.BinomialModelPrediction;
import java.io.IOException;
import java.io.UncheckedIOException;
import org.apache.spark.SparkFiles;
import org.apache.spark.sql.Row;
import org.apache.spark.sql.RowFactory;
import org.apache.spark.sql.api.java.UDF12;

/** What one writes to score gbm_50x5.zip with Spark: the model once in each executor, a call for each row. */
public class GenmodelUdf
        implements UDF12<
                Double, Double, Double, Double, Double, Double, Double, Double, Double, Double, String, String, Row> {
    private static final EasyPredictModelWrapper MODEL = load();

    private static EasyPredictModelWrapper load() {
        try {
            var config = new EasyPredictModelWrapper.Config()
                    .setModel(MojoModel.load(SparkFiles.get("gbm_50x5.zip")))
                    .setConvertUnknownCategoricalLevelsToNa(true);
            return new EasyPredictModelWrapper(config);
        } catch (IOException error) {
            throw new UncheckedIOException(error);
        }
    }

    @Override
    public Row call(
            Double x0,
            Double x1,
            Double x2,
            Double x3,
            Double x4,
            Double x5,
            Double x6,
            Double x7,
            Double x8,
            Double x9,
            String color,
            String country)
            throws PredictException {
        Object[] values = {x0, x1, x2, x3, x4, x5, x6, x7, x8, x9, color, country};
        RowData row = new RowData();
        for (int at = 0; at < 10; at++) {
            put(row, "x" + at, values[at]);
        }
        put(row, "color", color);
        put(row, "country", country);
        BinomialModelPrediction answer = MODEL.predictBinomial(row);
        return RowFactory.create(answer.label, answer.classProbabilities[0], answer.classProbabilities[1]);
    }

    private static void put(RowData row, String name, Object value) {
        if (value != null) {
            row.put(name, value);
        }
    }
}
