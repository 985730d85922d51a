package hotswap;

import hex.ModelCategory;
import hex.genmodel.GenModel;
import hex.genmodel.algos.tree.SharedTreeMojoModel;
import hex.genmodel.algos.tree.SharedTreeNode;
import hex.genmodel.utils.GenmodelBitSet;
import java.util.Arrays;
import java.util.Random;

/**
 * The score0 of a forest (GBM, DRF, isolation forest), to the bit, in half of the time: H2O reads the bytes of its trees
 * anew for each row, here each split is an element of flat arrays.
 *
 * <p>The format stays H2O's affair, for the trees come from its own reader; so does what their sum means, for it goes
 * through its unifyPreds. Whether both ways agree is tried out for each model when it is loaded.
 *
 * <p>A split sends a row on to its near child, which is the next node, or to its far one. Near is where a missing value
 * goes: so one comparison decides, for it is false for NaN. Where a missing value goes right, `value < split` becomes
 * `-value > -split`, on a mirrored copy of the row.
 */
public final class Trees extends GenModel {
  private static final int LEAF = -1;
  private static final int MAX_BYTES = 4 << 20; // about 670,000 nodes
  private static final int CHECKED_ROWS = 200;

  private final SharedTreeMojoModel model;
  private final int width;
  private final double[] values;
  private final int[] roots;
  private final int[] classes;

  // Of each node: the place in `values` that it looks at, or LEAF; its split, or a leaf's value; its far child; for
  // groups of categories the set of those that go right, and whether these go far.
  private int[] places = new int[1 << 10];
  private double[] splits = new double[1 << 10];
  private int[] fars = new int[1 << 10];
  private GenmodelBitSet[] sets = new GenmodelBitSet[1 << 10];
  private boolean[] isFar = new boolean[1 << 10];
  private int size;

  /** What scores as `model`, whose score0 gives `scores` numbers: its trees where they do so, else the model itself. */
  public static GenModel of(GenModel model, int scores) {
    if (!(model instanceof SharedTreeMojoModel forest) || bytes(forest) > MAX_BYTES) {
      return model;
    }
    try {
      Trees trees = new Trees(forest);
      return trees.agree(scores) ? trees : model;
    } catch (RuntimeException error) {
      return model; // whatever it is that is not as it is known here, H2O knows it
    }
  }

  private static long bytes(SharedTreeMojoModel model) {
    long bytes = 0;
    for (int group = 0; group < model.getNTreeGroups(); group++) {
      for (int tree = 0; tree < model.getNTreesPerGroup(); tree++) {
        byte[] one = model.treeBytes(group, tree);
        bytes += one == null ? 0 : one.length;
      }
    }
    return bytes;
  }

  private Trees(SharedTreeMojoModel model) {
    super(model.getNames(), model.getDomainValues(), model.isSupervised() ? model.getResponseName() : null);
    this.model = model;
    this.width = model.nfeatures();
    this.values = new double[2 * width];
    int groups = model.getNTreeGroups();
    int each = model.getNTreesPerGroup();
    this.roots = new int[groups * each];
    this.classes = new int[groups * each];
    int first = model.nclasses() == 1 ? 0 : 1;
    for (int group = 0; group < groups; group++) {
      for (int tree = 0; tree < each; tree++) {
        // Class by class, as score0 adds them up.
        roots[tree * groups + group] = size;
        classes[tree * groups + group] = first + tree;
        add(model.computeGraph(group).subgraphArray.get(tree).rootNode);
      }
    }
  }

  private void add(SharedTreeNode node) {
    int here = size++;
    if (here == places.length) {
      places = Arrays.copyOf(places, 2 * here);
      splits = Arrays.copyOf(splits, 2 * here);
      fars = Arrays.copyOf(fars, 2 * here);
      sets = Arrays.copyOf(sets, 2 * here);
      isFar = Arrays.copyOf(isFar, 2 * here);
    }
    if (node.isLeaf()) {
      places[here] = LEAF;
      splits[here] = node.getPredValue();
      return;
    }
    boolean isLeft = node.isLeftward();
    sets[here] = node.getBs();
    isFar[here] = isLeft;
    if (sets[here] != null || isLeft) {
      places[here] = node.getColId();
      splits[here] = node.isNaVsRest() ? Double.NaN : node.getSplitValue();
    } else {
      places[here] = width + node.getColId();
      splits[here] = node.isNaVsRest() ? Double.NEGATIVE_INFINITY : Math.nextUp(-(double) node.getSplitValue());
    }
    add(isLeft ? node.getLeftChild() : node.getRightChild());
    fars[here] = size;
    add(isLeft ? node.getRightChild() : node.getLeftChild());
  }

  /** As GenModel has it; the value of a categorical column is the number of one of its levels, or NaN. */
  @Override
  public double[] score0(double[] row, double[] scores) {
    double[] values = this.values;
    for (int column = 0; column < width; column++) {
      values[column] = row[column];
      values[width + column] = -row[column];
    }
    for (int tree = 0; tree < roots.length; tree++) {
      int node = roots[tree];
      for (int place; (place = places[node]) != LEAF; ) {
        double value = values[place];
        GenmodelBitSet set = sets[node];
        boolean goesFar = set == null ? value >= splits[node] : goesFar(set, value, isFar[node]);
        node = goesFar ? fars[node] : node + 1;
      }
      scores[classes[tree]] += splits[node];
    }
    return model.unifyPreds(row, 0, scores);
  }

  private static boolean goesFar(GenmodelBitSet set, double value, boolean isFar) {
    int level = (int) value;
    return value == value && set.isInRange(level) && set.contains(level) == isFar;
  }

  @Override
  public ModelCategory getModelCategory() {
    return model.getModelCategory();
  }

  @Override
  public String getUUID() {
    return model.getUUID();
  }

  /** Whether score0 says the same of rows whose values are at the splits, and beside them. */
  private boolean agree(int scores) {
    Random random = new Random(0);
    for (int number = 0; number < CHECKED_ROWS; number++) {
      double[] row = row(random);
      double[] ours = score0(row.clone(), new double[scores]);
      if (!Arrays.equals(ours, model.score0(row, new double[scores]))) {
        return false;
      }
    }
    return true;
  }

  private double[] row(Random random) {
    double[] row = new double[width];
    for (int column = 0; column < width; column++) {
      String[] levels = model.getDomainValues(column);
      row[column] = levels == null ? random.nextGaussian() : random.nextInt(levels.length);
    }
    for (int many = 0; many < 4 * width; many++) {
      int node = random.nextInt(size);
      if (places[node] != LEAF && model.getDomainValues(places[node] % width) == null) {
        double split = places[node] < width ? splits[node] : -splits[node];
        double[] around = {Math.nextDown(split), split, Math.nextUp(split)};
        row[places[node] % width] = around[random.nextInt(around.length)];
      }
    }
    for (int column = 0; column < width; column++) {
      row[column] = random.nextInt(8) == 0 ? Double.NaN : row[column];
    }
    return row;
  }
}
