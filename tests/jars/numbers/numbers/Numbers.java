package numbers;

import java.math.BigDecimal;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Collectors;

/** One method for each kind of parameter and result. */
public class Numbers {
    private int count;

    public static double sum(double[] row) {
        return Arrays.stream(row).sum();
    }

    public static float half(float[] row) {
        return row[0] / 2;
    }

    public static long sumInts(int[] row) {
        return Arrays.stream(row).sum();
    }

    public static long sumLongs(long[] row) {
        return Arrays.stream(row).sum();
    }

    public static String join(String[] row) {
        return String.join("|", row);
    }

    public static String list(List<Object> row) {
        return row.stream().map(value -> value + ":" + value.getClass().getSimpleName()).collect(Collectors.joining(" "));
    }

    public static double weigh(double b, int a) {
        return 10 * a + b;
    }

    public static double boxed(Double a, Long b) {
        return a == null ? -1 : a + b;
    }

    public static double bare(double a, short b) {
        return a + b;
    }

    public static String texts(String word, boolean flag, char letter) {
        return word + flag + letter;
    }

    public static double[] doubled(double[] row) {
        return Arrays.stream(row).map(value -> 2 * value).toArray();
    }

    public static double[] sums(double[][] rows) {
        return Arrays.stream(rows).mapToDouble(Numbers::sum).toArray();
    }

    public static double total(double[][] rows) {
        return Arrays.stream(rows).mapToDouble(Numbers::sum).sum();
    }

    public static List<Map<String, Object>> table(List<Map<String, Object>> rows) {
        return rows.stream().map(row -> {
            Map<String, Object> answer = new HashMap<>(row);
            answer.put("label", "L" + row.get("a"));
            answer.put("score", new BigDecimal("0.25"));
            return answer;
        }).collect(Collectors.toList());
    }

    public static Object[] pair(double[] row) {
        return new Object[] {"P", row[0]};
    }

    public static Verdict judge(Applicant applicant) {
        return new Verdict(applicant.risk());
    }

    public int next(double[] row) {
        return ++count;
    }

    public static Object odd(String what) {
        switch (what) {
            case "null":
                return null;
            case "half":
                return 0.5;
            case "large":
                return 3_000_000_000L;
            case "text":
                return "eight";
            case "object":
                return new Numbers();
            case "list":
                return List.of(1, 2);
            case "nested null":
                return Arrays.asList((Object) null);
            case "whole":
                return 8.0;
            case "half a character":
                return "\ud800";
            case "digits":
                return new BigDecimal("9007199254740993");
            case "many digits":
                return new BigDecimal("1E+1000000000");
            case "long":
                return 9007199254740993L;
            case "raises":
                throw new IllegalStateException("as it was asked to");
            default:
                return 7;
        }
    }

    public static double either(double[] row) {
        return 1;
    }

    public static double either(double a, double b) {
        return 2;
    }

    public static double chosen(double[] row) {
        return 1;
    }

    public static double chosen(String csv, int depth) {
        return 2;
    }

    public static <T extends Comparable<T>> int generic(List<T> row) {
        return row.size();
    }

    public static void nothing(double[] row) {}

    static double hidden(double[] row) {
        return 0;
    }

    public static double unfilled(double a, double z) {
        return 0;
    }
}
