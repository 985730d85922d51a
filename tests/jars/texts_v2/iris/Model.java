package iris;

import java.util.List;
import java.util.stream.Collectors;

/** The same class as in texts, another model. */
public class Model {
    public static List<String> predict(String csv) {
        return csv.lines().skip(1).map(line -> "second").collect(Collectors.toList());
    }
}
