package hotswap.flat;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.BitSet;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.stream.IntStream;
import java.util.stream.Stream;

/**
 * Builds a forest, tree by tree and node by node, each before its children.
 *
 * <p>A missing value takes a split's near branch. All methods throw IllegalArgumentException for a tree that a grove
 * cannot hold.
 */
public final class ForestBuilder {
  private static final int LARGE = 1 << 7; // places of a grove: a row's numbers stay in the CPU's nearest cache
  private static final int MAX_LEVELS = 1 << 24; // times sets, of a column
  private static final int MAX_SPLITS = 1_000; // of a column, for verification

  /** The test of a node: none; the key is above the split; its complement is; a set has the level. */
  private static final byte LEAF = 0, ABOVE = 1, BELOW = 2, SET = 3;

  /** The tests of one column by the splits of a grove. */
  private static final class Tested {
    private final Map<BitSet, Integer> sets = new HashMap<>(); // by the levels that take the far branch
    private boolean isCompared;
    private int place = Grove.Column.NO_PLACE;
    private int setPlace;

    private int places() {
      return (isCompared ? 2 : 0) + sets.size();
    }
  }

  private final int[] levels;
  private final int width;
  private final List<Grove> groves = new ArrayList<>();
  private final List<List<Float>> someSplits;

  // The grove in progress.
  private final TreeMap<Integer, Tested> columns = new TreeMap<>();
  private final List<Integer> roots = new ArrayList<>();
  private final List<Integer> scores = new ArrayList<>();

  // Of each node: its test, the column, the split's key or the set's number, the distance to its near child, and a leaf's
  // value.
  private byte[] tests = new byte[1 << 10];
  private int[] columnNumbers = new int[1 << 10];
  private int[] splits = new int[1 << 10];
  private char[] ways = new char[1 << 10];
  private float[] leaves = new float[1 << 10];
  private int size;

  /**
   * @param levels the number of levels of each column; 0: its values are numbers
   * @param width the number of scores of a row
   */
  public ForestBuilder(int[] levels, int width) {
    this.levels = levels;
    this.width = width;
    this.someSplits = Stream.generate(() -> (List<Float>) new ArrayList<Float>()).limit(levels.length).toList();
  }

  /** Starts a tree whose leaves are added to the score of that number; returns its root, a leaf so far. */
  public int addTree(int score) {
    if (columns.values().stream().mapToInt(Tested::places).sum() >= LARGE) {
      finishGrove();
    }
    roots.add(size);
    scores.add(score);
    return take(1);
  }

  public void setLeaf(int node, float value) {
    leaves[node] = value;
  }

  /**
   * Splits a node. Values from `split` on take the far branch if `isFarAbove`, values below it otherwise. Returns the near
   * child; the far one is the next node.
   */
  public int split(int node, int column, float split, boolean isFarAbove) {
    int key = Grove.key(split);
    if (someSplits.get(column).size() < MAX_SPLITS) {
      someSplits.get(column).add(split);
    }
    return compare(node, column, isFarAbove ? ABOVE : BELOW, isFarAbove ? key - 1 : ~key);
  }

  /** Splits a node by whether the value is missing. All present values take the far branch if `isFarPresent`, else none. */
  public int splitMissing(int node, int column, boolean isFarPresent) {
    return compare(node, column, isFarPresent ? BELOW : ABOVE, isFarPresent ? Grove.MISSING : Grove.NEVER);
  }

  /** Splits a node by the levels that take the far branch. */
  public int split(int node, int column, BitSet far) {
    if (levels[column] == 0) {
      throw new IllegalArgumentException("column " + column + " has no levels");
    }
    Tested tested = columns.computeIfAbsent(column, number -> new Tested());
    return branch(node, column, SET, tested.sets.computeIfAbsent(far, set -> tested.sets.size()));
  }

  public Forest build() {
    finishGrove();
    return new Forest(levels, width, groves, someSplits);
  }

  private int compare(int node, int column, byte test, int split) {
    columns.computeIfAbsent(column, number -> new Tested()).isCompared = true;
    return branch(node, column, test, split);
  }

  private int branch(int node, int column, byte test, int split) {
    int near = take(2);
    if (near - node > Grove.MAX_WAY) {
      throw new IllegalArgumentException("the tree is too large");
    }
    tests[node] = test;
    columnNumbers[node] = column;
    splits[node] = split;
    ways[node] = (char) (near - node);
    return near;
  }

  private int take(int nodes) {
    int first = size;
    size += nodes;
    if (size > tests.length) {
      int length = 2 * tests.length;
      tests = Arrays.copyOf(tests, length);
      columnNumbers = Arrays.copyOf(columnNumbers, length);
      splits = Arrays.copyOf(splits, length);
      ways = Arrays.copyOf(ways, length);
      leaves = Arrays.copyOf(leaves, length);
    }
    return first;
  }

  private void finishGrove() {
    int places = 0;
    for (Tested column : columns.values()) {
      column.place = column.isCompared ? places : Grove.Column.NO_PLACE;
      column.setPlace = places + (column.isCompared ? 2 : 0);
      places += column.places();
    }
    if (places > Grove.MAX_PLACES) {
      throw new IllegalArgumentException("too many sets of levels");
    }
    Grove.Column[] tested =
        columns.entrySet().stream()
            .map(each -> column(each.getKey(), each.getValue()))
            .toArray(Grove.Column[]::new);
    long[] nodes = IntStream.range(0, size).mapToLong(this::node).toArray();
    groves.add(
        new Grove(
            tested, Math.max(1, places), nodes, Arrays.copyOf(leaves, size), ints(roots), depths(), ints(scores)));
    columns.clear();
    roots.clear();
    scores.clear();
    Arrays.fill(tests, 0, size, LEAF);
    Arrays.fill(ways, 0, size, (char) 0);
    Arrays.fill(leaves, 0, size, 0);
    size = 0;
  }

  private int[] depths() {
    int[] heights = new int[size];
    for (int node = size - 1; node >= 0; node--) { // children come after their parents
      int near = node + ways[node];
      heights[node] = tests[node] == LEAF ? 0 : 1 + Math.max(heights[near], heights[near + 1]);
    }
    return roots.stream().mapToInt(root -> heights[root]).toArray();
  }

  private static int[] ints(List<Integer> numbers) {
    return numbers.stream().mapToInt(Integer::intValue).toArray();
  }

  private long node(int number) {
    Tested column = columns.get(columnNumbers[number]);
    return switch (tests[number]) {
      case ABOVE -> node(number, column.place, splits[number]);
      case BELOW -> node(number, column.place + 1, splits[number]);
      case SET -> node(number, column.setPlace + splits[number], 0);
      default -> node(number, 0, Grove.NEVER);
    };
  }

  private long node(int number, int place, int split) {
    return (long) split << 32 | (long) (place * Grove.LANES) << 16 | ways[number];
  }

  private Grove.Column column(int number, Tested tested) {
    int count = tested.sets.size();
    int some = count == 0 ? 0 : levels[number];
    if ((long) some * count > MAX_LEVELS) {
      throw new IllegalArgumentException("too many levels");
    }
    byte[][] sets = new byte[some + 1][count];
    tested.sets.forEach((far, set) -> far.stream().forEach(level -> sets[level][set] = 1));
    return new Grove.Column(number, tested.place, tested.setPlace, sets);
  }
}
