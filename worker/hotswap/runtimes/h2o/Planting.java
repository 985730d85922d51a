package hotswap;

import hex.genmodel.GenModel;
import hex.genmodel.algos.tree.SharedTreeNode;
import hex.genmodel.utils.GenmodelBitSet;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.BitSet;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.stream.IntStream;

/** Makes a grove of H2O's trees. */
final class Planting {
  private static final int LARGE = 1 << 7; // places; a row's numbers should stay in the CPU's nearest cache
  private static final int MAX_LEVELS = 1 << 24; // times sets, of a column
  private static final int MAX_SPLITS = 1_000; // of a column

  /** What a split compares: nothing, for it is a leaf; the key; its complement; what a set says. */
  private static final byte LEAF = 0, ABOVE = 1, BELOW = 2, SET = 3;

  /** What the trees so far compare of a column; the sets by the levels that go far. */
  private static final class Known {
    private final Map<BitSet, Integer> sets = new HashMap<>();
    private boolean isCompared;
    private int place = Grove.Column.NO_PLACE;
    private int setPlace;

    private int places() {
      return (isCompared ? 2 : 0) + sets.size();
    }
  }

  private final GenModel model;
  private final Map<Integer, List<Float>> someSplits;
  private final TreeMap<Integer, Known> columns = new TreeMap<>();
  private final List<Integer> roots = new ArrayList<>();
  private final List<Integer> depths = new ArrayList<>();
  private final List<Integer> classes = new ArrayList<>();

  // Of each node: what it compares, of which column, with what (a split's key, or a set's number), how far its near child
  // is, and a leaf's value.
  private byte[] kinds = new byte[1 << 10];
  private int[] columnNumbers = new int[1 << 10];
  private int[] splits = new int[1 << 10];
  private char[] ways = new char[1 << 10];
  private float[] leaves = new float[1 << 10];
  private int size;

  /** @param splits of each column, to try out the forest: some of the splits of the trees are added */
  Planting(GenModel model, Map<Integer, List<Float>> splits) {
    this.model = model;
    this.someSplits = splits;
  }

  /** Adds a tree whose leaves' values are added to the score of that number. */
  void add(SharedTreeNode root, int score) {
    roots.add(size);
    classes.add(score);
    depths.add(grow(root, take(1)));
  }

  /** Whether there are trees enough: a row's numbers for more of them would fill the CPU's cache. */
  boolean isLarge() {
    return places() >= LARGE;
  }

  private int places() {
    return columns.values().stream().mapToInt(Known::places).sum();
  }

  /** Adds what is below `node`, which is number `here`; how deep that is. Near is where a missing value goes. */
  private int grow(SharedTreeNode node, int here) {
    if (node.isLeaf()) {
      kinds[here] = LEAF;
      leaves[here] = node.getPredValue();
      return 0;
    }
    compare(node, here);
    int near = take(2);
    if (near - here > Grove.MAX_WAY) {
      throw new IllegalArgumentException("the tree is too large");
    }
    ways[here] = (char) (near - here);
    boolean isLeft = node.isLeftward();
    int depth = grow(isLeft ? node.getLeftChild() : node.getRightChild(), near);
    return 1 + Math.max(depth, grow(isLeft ? node.getRightChild() : node.getLeftChild(), near + 1));
  }

  private int take(int nodes) {
    int first = size;
    size += nodes;
    if (size > kinds.length) {
      int length = 2 * kinds.length;
      kinds = Arrays.copyOf(kinds, length);
      columnNumbers = Arrays.copyOf(columnNumbers, length);
      splits = Arrays.copyOf(splits, length);
      ways = Arrays.copyOf(ways, length);
      leaves = Arrays.copyOf(leaves, length);
    }
    return first;
  }

  private void compare(SharedTreeNode node, int here) {
    boolean isLeft = node.isLeftward();
    Known column = columns.computeIfAbsent(node.getColId(), number -> new Known());
    columnNumbers[here] = node.getColId();
    if (node.getBs() != null) {
      kinds[here] = SET;
      splits[here] = column.sets.computeIfAbsent(far(node), levels -> column.sets.size());
      return;
    }
    column.isCompared = true;
    kinds[here] = isLeft ? ABOVE : BELOW;
    if (node.isNaVsRest()) {
      splits[here] = isLeft ? Grove.NEVER : Grove.MISSING; // nothing goes far; all that is there does
    } else {
      int key = Grove.key(node.getSplitValue());
      splits[here] = isLeft ? key - 1 : ~key;
      List<Float> some = someSplits.computeIfAbsent(node.getColId(), number -> new ArrayList<>());
      if (some.size() < MAX_SPLITS) {
        some.add(node.getSplitValue());
      }
    }
  }

  private BitSet far(SharedTreeNode node) {
    GenmodelBitSet set = node.getBs();
    BitSet far = new BitSet();
    int levels = model.getDomainValues(node.getColId()).length;
    for (int level = 0; level < levels; level++) {
      far.set(level, set.isInRange(level) && set.contains(level) == node.isLeftward());
    }
    return far;
  }

  /** The trees that were added. Raises IllegalArgumentException where they compare too much for one grove. */
  Grove grove() {
    int places = 0;
    for (Known column : columns.values()) {
      column.place = column.isCompared ? places : Grove.Column.NO_PLACE;
      column.setPlace = places + (column.isCompared ? 2 : 0);
      places += column.places();
    }
    if (places > Grove.MAX_PLACES) {
      throw new IllegalArgumentException("too many sets of levels");
    }
    Grove.Column[] known =
        columns.entrySet().stream()
            .map(each -> column(each.getKey(), each.getValue()))
            .toArray(Grove.Column[]::new);
    long[] nodes = IntStream.range(0, size).mapToLong(this::node).toArray();
    return new Grove(
        known, Math.max(1, places), nodes, Arrays.copyOf(leaves, size), ints(roots), ints(depths), ints(classes));
  }

  private static int[] ints(List<Integer> numbers) {
    return numbers.stream().mapToInt(Integer::intValue).toArray();
  }

  private long node(int number) {
    Known column = columns.get(columnNumbers[number]);
    return switch (kinds[number]) {
      case ABOVE -> node(number, column.place, splits[number]);
      case BELOW -> node(number, column.place + 1, splits[number]);
      case SET -> node(number, column.setPlace + splits[number], 0);
      default -> node(number, 0, Grove.NEVER);
    };
  }

  private long node(int number, int place, int split) {
    return (long) split << 32 | (long) (place * Grove.LANES) << 16 | ways[number];
  }

  private Grove.Column column(int number, Known known) {
    int count = known.sets.size();
    int levels = count == 0 ? 0 : model.getDomainValues(number).length;
    if ((long) levels * count > MAX_LEVELS) {
      throw new IllegalArgumentException("too many levels");
    }
    byte[][] sets = new byte[levels + 1][count];
    known.sets.forEach((far, set) -> far.stream().forEach(level -> sets[level][set] = 1));
    return new Grove.Column(number, known.place, known.setPlace, sets);
  }
}
