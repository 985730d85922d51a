package overloads;

import java.math.BigDecimal;
import java.math.BigInteger;
import java.time.Duration;
import java.time.Instant;
import java.time.LocalDate;
import java.time.LocalDateTime;
import java.util.Arrays;
import java.util.Date;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.OptionalInt;
import java.util.OptionalLong;
import java.util.UUID;

/** Methods of one name, each of which tells which it is; and those of Java's own types. */
public class Overloads extends Base<Point> implements Named {
    public static String add(int a, int b) {
        return "int";
    }

    public static String add(long a, long b) {
        return "long";
    }

    public static String add(float a, float b) {
        return "float";
    }

    public static String add(double a, double b) {
        return "double";
    }

    public static String add(Double a, Double b) {
        return "Double";
    }

    public static String add(boolean a, boolean b) {
        return "boolean";
    }

    public static String add(String a, String b) {
        return "String";
    }

    public static String add(byte[] a, byte[] b) {
        return "byte[]";
    }

    public static String add(Object a, Object b) {
        return "Object";
    }

    public static String add(BigDecimal a, BigDecimal b) {
        return "BigDecimal";
    }

    public static String add(double... all) {
        return "double...";
    }

    public static String wide(short a, short b) {
        return "short";
    }

    public static String wide(long a, long b) {
        return "long";
    }

    public static String wide(double a, double b) {
        return "double";
    }

    public static String mixed(long a, double b) {
        return "long double";
    }

    public static String mixed(double a, long b) {
        return "double long";
    }

    public String both(long a, long b) {
        return "object";
    }

    public static String both(double a, double b) {
        return "class";
    }

    public static String later(String a, String b) {
        return "String";
    }

    public static String later(LocalDate a, LocalDate b) {
        return "LocalDate";
    }

    public static LocalDate given(long a, long b) {
        return LocalDate.EPOCH;
    }

    public static String given(double a, double b) {
        return "double";
    }

    public static String point(Point point) {
        return point.made;
    }

    public static String bean(Bean bean) {
        return bean.toString();
    }

    @Override
    public String generic(Point point) {
        return "generic " + point.made;
    }

    public static String arrays(byte[] a, short[] b, int[] c, long[] d, float[] e, double[] f, boolean[] g, char[] h) {
        return Arrays.toString(a) + Arrays.toString(b) + Arrays.toString(c) + Arrays.toString(d) + Arrays.toString(e)
                + Arrays.toString(f) + Arrays.toString(g) + Arrays.toString(h);
    }

    public static String array(long[] x) {
        return "long[]";
    }

    public static String array(double[] x) {
        return "double[]";
    }

    public static String numbers(BigDecimal text, BigDecimal number, BigDecimal whole, BigInteger large) {
        return text + " " + number + " " + whole + " " + large;
    }

    public static String times(LocalDate day, LocalDateTime at, Instant instant, Duration time, UUID id) {
        return day + " " + at + " " + instant + " " + time + " " + id;
    }

    public static String optionals(Optional<String> text, OptionalInt i, OptionalLong l, OptionalDouble d, Optional<LocalDate> day) {
        return text + " " + i + " " + l + " " + d + " " + day;
    }

    public static String sum(List<BigDecimal> amounts) {
        return amounts.stream().reduce(BigDecimal.ZERO, BigDecimal::add).toString();
    }

    public static String total(Map<String, BigDecimal> amounts) {
        return amounts.values().stream().reduce(BigDecimal.ZERO, BigDecimal::add).toString();
    }

    public static String date(Date day) {
        return day.toString();
    }

    public static Date aDate(String text) {
        return new Date(0);
    }

    public static BigDecimal decimal(String text) {
        return new BigDecimal(text);
    }

    public static LocalDate nextDay(LocalDate day) {
        return day.plusDays(1);
    }

    public static Optional<LocalDate> maybeDay(String text) {
        return text.isEmpty() ? Optional.empty() : Optional.of(LocalDate.parse(text));
    }

    public static OptionalDouble half(double d) {
        return d == 0 ? OptionalDouble.empty() : OptionalDouble.of(d / 2);
    }

    public static List<Optional<UUID>> ids(String text) {
        return List.of(text.isEmpty() ? Optional.empty() : Optional.of(UUID.fromString(text)));
    }

    public static Late late(boolean isEmpty) {
        return new Late(isEmpty);
    }

    public static Double orNothing(double d) {
        return d < 0 ? null : d;
    }

    public static List<Double> orNothings(double[][] rows) {
        return Arrays.stream(rows).map(row -> orNothing(row[0])).toList();
    }

    public static Double[] vector(double[] x) {
        return Arrays.stream(x).mapToObj(Overloads::orNothing).toArray(Double[]::new);
    }

    public static Pair pair(double d) {
        return d == 7 ? null : new Pair(orNothing(d), d < -1 ? null : 1L);
    }

    public static Map<String, Object> map(double d) {
        Map<String, Object> made = new HashMap<>();
        if (d != 7) {
            made.put("a", orNothing(d));
            made.put("b", d < -1 ? null : 1L);
        }
        return made;
    }

    public static Map<String, Object> counts(double d) {
        Map<String, Object> counts = new HashMap<>();
        counts.put("x", orNothing(d) == null ? null : 1);
        return Map.of("counts", counts);
    }
}
