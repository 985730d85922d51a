package hotswap.flat;

/**
 * Some trees of a forest, for eight rows at a time (the lanes), whose chains of loads and comparisons overlap.
 *
 * <p>A row is converted to whole numbers first, so that every split is `number > split`. A number's key is ordered as the
 * number is; a second place has its complement, for splits whose small values take the far branch. For each set of levels
 * that a split of a categorical column tests, a place has 1 if the row's level takes the far branch. A missing value never
 * does.
 *
 * <p>A node is split << 32 | place * LANES << 16 | the distance to its near child, behind which its far child is. A leaf's
 * distance is 0, and its test is never true: so a row that has arrived waits for the others.
 */
final class Grove {
  static final int LANES = 8;
  static final int MAX_PLACES = (1 << 16) / LANES; // a node's 16 bits
  static final int MAX_WAY = (1 << 16) - 1;
  static final int NEVER = Integer.MAX_VALUE; // a split that nothing reaches
  static final int MISSING = Integer.MIN_VALUE; // not above any split
  private static final int MAX_NUMBERS = 1 << 14; // of a block of rows: they stay in the CPU's cache

  /**
   * The places of one column.
   *
   * @param place of the key, before the complement's; NO_PLACE: no split compares them
   * @param setPlace of the first set
   * @param sets the membership of each level, and at the end of a missing one, in the sets
   */
  record Column(int number, int place, int setPlace, byte[][] sets) {
    static final int NO_PLACE = -1;
  }

  private final Column[] columns;
  private final int places;
  private final long[] nodes;
  private final float[] leaves;
  private final int[] roots;
  private final int[] depths;
  private final int[] classes;
  private final int[] numbers; // of a block of rows: eight rows, place by place, then the next eight

  /** `roots`, `depths` and `classes` (the scores that they add to) are of the trees, `leaves` of the nodes. */
  Grove(Column[] columns, int places, long[] nodes, float[] leaves, int[] roots, int[] depths, int[] classes) {
    this.columns = columns;
    this.places = places;
    this.nodes = nodes;
    this.leaves = leaves;
    this.roots = roots;
    this.depths = depths;
    this.classes = classes;
    this.numbers = new int[Math.max(1, MAX_NUMBERS / (places * LANES)) * LANES * places];
  }

  /** Adds the trees' values to the rows' `sums`, `width` for each row; these have room for LANES - 1 rows more. */
  void score(double[] rows, int columns, int count, double[] sums, int width) {
    int block = numbers.length / places;
    for (int first = 0; first < count; first += block) {
      int last = Math.min(first + block, count);
      for (int row = first; row < last; row++) {
        int at = (row - first & -LANES) * places + (row - first & LANES - 1);
        for (Column column : this.columns) {
          number(column, rows[row * columns + column.number], at);
        }
      }
      for (int tree = 0; tree < roots.length; tree++) {
        for (int row = first; row < last; row += LANES) {
          walk(roots[tree], depths[tree], (row - first) * places, sums, row * width + classes[tree], width);
        }
      }
    }
  }

  private void number(Column column, double value, int at) {
    int[] numbers = this.numbers;
    if (column.place != Column.NO_PLACE) {
      int place = at + column.place * LANES;
      int key = key(value);
      numbers[place] = value == value ? key : MISSING;
      numbers[place + LANES] = value == value ? ~key : MISSING;
    }
    int missing = column.sets.length - 1;
    byte[] membership = column.sets[value >= 0 && value < missing ? (int) value : missing];
    for (int set = 0, place = at + column.setPlace * LANES; set < membership.length; set++, place += LANES) {
      numbers[place] = membership[set];
    }
  }

  /** The key of the greatest float that is not above `value`: values at or above a split have a key at or above its own. */
  static int key(double value) {
    float near = (float) value + 0.0f; // -0.0 is 0.0
    int bits = Float.floatToRawIntBits(near);
    int key = bits ^ bits >> 31 & Integer.MAX_VALUE;
    return key - (int) (longKey(value + 0.0) - longKey(near) >>> 63); // without a branch
  }

  private static long longKey(double value) {
    long bits = Double.doubleToRawLongBits(value);
    return bits ^ bits >> 63 & Long.MAX_VALUE;
  }

  /** Walks the rows whose numbers begin at `at` to the leaves of a tree, and adds their values to `sums` from `sum`. */
  private void walk(int root, int depth, int at, double[] sums, int sum, int width) {
    long[] nodes = this.nodes;
    int[] numbers = this.numbers;
    int a = root, b = root, c = root, d = root, e = root, f = root, g = root, h = root;
    for (int level = depth, all = 0; level > 0; level--) {
      a = next(a, nodes[a], numbers, at);
      b = next(b, nodes[b], numbers, at + 1);
      c = next(c, nodes[c], numbers, at + 2);
      d = next(d, nodes[d], numbers, at + 3);
      e = next(e, nodes[e], numbers, at + 4);
      f = next(f, nodes[f], numbers, at + 5);
      g = next(g, nodes[g], numbers, at + 6);
      h = next(h, nodes[h], numbers, at + 7);
      if ((level & 3) == 0) { // a way leads forwards only: where the sum stays, all have arrived
        int now = a + b + c + d + e + f + g + h;
        if (now == all) {
          break;
        }
        all = now;
      }
    }
    float[] leaves = this.leaves;
    sums[sum] += leaves[a];
    sums[sum += width] += leaves[b];
    sums[sum += width] += leaves[c];
    sums[sum += width] += leaves[d];
    sums[sum += width] += leaves[e];
    sums[sum += width] += leaves[f];
    sums[sum += width] += leaves[g];
    sums[sum + width] += leaves[h];
  }

  private static int next(int from, long node, int[] numbers, int at) {
    int low = (int) node;
    // The sign of the difference: 1 where the number is above the split.
    return from + (low & MAX_WAY) + (int) ((node >> 32) - numbers[at + (low >>> 16)] >>> 63);
  }
}
