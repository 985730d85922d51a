package iris;

import java.io.File;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/** A model as the ancestor's users wrote them: rows as text in, a List out, all static. */
public class Model {
    public static List<String> predict(String csv) {
        String[] lines = csv.split("\n");
        int column = Arrays.asList(lines[0].split(",")).indexOf("petal_len");
        List<String> labels = new ArrayList<>();
        for (int i = 1; i < lines.length; i++) {
            labels.add(label(Double.parseDouble(lines[i].split(",")[column])));
        }
        return labels;
    }

    public static List<String> predictFile(File file) throws IOException {
        return predict(Files.readString(file.toPath()));
    }

    public static List<String> predictPath(Path path) throws IOException {
        return predict(Files.readString(path));
    }

    public static List<String> predictNamed(String name) throws IOException {
        return predict(Files.readString(Path.of(name)));
    }

    /** The text itself, once for each row that a CSV of one line a row has. */
    public static List<String> echo(String text) {
        return List.of(text);
    }

    /** A whole message as JSON without the first of its rows, and what is no JSON after it. */
    public static List<String> dropsFirst(String json) {
        return List.of("{\"rows\": [" + json.substring(json.indexOf("}, ") + 3), "not JSON");
    }

    public static String table(String csv) {
        StringBuilder answer = new StringBuilder("label,score\n");
        for (String label : predict(csv)) {
            answer.append(label).append(",0.5\n");
        }
        return answer.toString();
    }

    public static List<String> dropsRows(String csv) {
        List<String> labels = predict(csv);
        return labels.subList(1, labels.size());
    }

    public static String classify(double width, double length) {
        return label(length);
    }

    private static String label(double length) {
        return length < 2.5 ? "setosa" : length < 4.8 ? "versicolor" : "virginica";
    }
}
