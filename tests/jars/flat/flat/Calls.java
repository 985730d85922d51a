package flat;

import java.math.BigDecimal;
import java.math.BigInteger;
import java.time.LocalDate;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Objects;
import java.util.Optional;
import java.util.OptionalLong;
import java.util.UUID;

/** Tells what it gets, and how often it was called: to answer twice, or in another order, shows. */
public class Calls {
    private long calls;

    private String told(Object... values) {
        StringBuilder text = new StringBuilder("#" + ++calls);
        for (Object value : values) {
            Object shown = value instanceof byte[] ? Arrays.toString((byte[]) value) : value;
            text.append(" ").append(shown).append(value == null ? "" : ":" + value.getClass().getSimpleName());
        }
        if (text.indexOf("raise") >= 0) {
            throw new IllegalStateException("as it was asked to by call " + calls);
        }
        return text.toString();
    }

    public String primitives(byte a, short b, int c, long d, float e, double f, boolean g, char h, String i) {
        return told(a, b, c, d, Float.floatToRawIntBits(e), Double.doubleToRawLongBits(f), g, h, i);
    }

    public String boxes(Byte a, Short b, Integer c, Long d, Float e, Double f, Boolean g, Character h, CharSequence i) {
        return told(a, b, c, d, e, f, g, h, i);
    }

    public String objects(
            Object d, Object f, Number i, Object l, Object ui, Object ul, Comparable<?> si, Object b, Object s, Object y, Object c) {
        return told(d, f, i, l, ui, ul, si, b, s, y, c);
    }

    public String texts(String[] values) {
        return told((Object[]) values);
    }

    public String colors(Color first, Color second) {
        return told(first, second);
    }

    public String numbers(double[] row) {
        return told(Arrays.toString(row));
    }

    public String floats(float[] row) {
        return told(Arrays.toString(row));
    }

    public String longs(long[] row) {
        return told(Arrays.toString(row));
    }

    public String list(List<Object> row) {
        return told(row.toArray());
    }

    public String lists(double[] d, int[] i, long[] ul, boolean[] b, String[] s, Color[] c) {
        return told(Arrays.toString(d), Arrays.toString(i), Arrays.toString(ul), Arrays.toString(b), Arrays.toString(s), Arrays.toString(c));
    }

    public double[] vector(double[] x) {
        calls++;
        return x.length > 0 && x[0] == 0 ? null : Arrays.stream(x).map(value -> value + calls).toArray();
    }

    public Verdict judge(Flower flower) {
        String text = told(flower);
        return text.contains("nothing") ? null : new Verdict(flower.note, text.contains("null") ? null : (double) text.length());
    }

    public List<Verdict> judgeAll(List<Flower> flowers) {
        List<Verdict> verdicts = new ArrayList<>();
        flowers.forEach(flower -> verdicts.add(judge(flower)));
        return verdicts;
    }

    public Verdict[] judgeArray(Flower[] flowers) {
        return judgeAll(Arrays.asList(flowers)).stream().filter(Objects::nonNull).toArray(Verdict[]::new);
    }

    public Seen see(Petal petal) {
        return new Seen(told(petal), (float) petal.length(), petal.age(), petal.color());
    }

    public double[] sums(double[][] rows) {
        calls++;
        return Arrays.stream(rows).mapToDouble(row -> Arrays.stream(row).sum() + calls).toArray();
    }

    public List<String> lines(String csv) {
        calls++;
        List<String> lines = new ArrayList<>();
        for (String line : csv.split("\n")) {
            lines.add(calls + ":" + line);
        }
        return lines.subList(1, lines.size());
    }

    public String csv(String csv) {
        return told(csv);
    }

    /** One value, of the type that is asked for. */
    public Object[] mixed(int kind, double number, long whole, String text) {
        return new Object[] {one(kind >= 0 && kind < 75 ? kind % 17 : 16 + Math.floorMod(kind, 8), number, whole, text)};
    }

    private static Object one(int kind, double number, long whole, String text) {
        switch (kind) {
            case 0:
                return number;
            case 1:
                return (float) number;
            case 2:
                return whole;
            case 3:
                return (int) whole;
            case 4:
                return (short) whole;
            case 5:
                return (byte) whole;
            case 6:
                return whole > 50;
            case 7:
                return text;
            case 8:
                return Color.DARK_BLUE;
            case 9:
                return number < 0 ? new byte[0] : text.getBytes();
            case 10:
                return null;
            case 11:
                return new BigDecimal(whole);
            case 12:
                return (double) whole;
            case 13:
                return 'x';
            case 14:
                return "\ud800";
            case 15:
                return whole != 0;
            case 16:
                return LocalDate.ofEpochDay(Math.floorMod(whole, 99999L));
            case 17:
                return Optional.of(text);
            case 18:
                return Optional.empty();
            case 19:
                return OptionalLong.of(whole);
            case 20:
                return new UUID(whole, whole);
            case 21:
                return Optional.of(Optional.of(number));
            case 22:
                return BigInteger.valueOf(whole);
            default:
                return List.of(whole);
        }
    }
}
