package hotswap.h2o;

import hex.genmodel.GenModel;
import hex.genmodel.algos.tree.SharedTreeMojoModel;
import hex.genmodel.algos.tree.SharedTreeNode;
import hex.genmodel.utils.GenmodelBitSet;
import hotswap.flat.BlockScorer;
import hotswap.flat.Forest;
import hotswap.flat.ForestBuilder;
import java.util.BitSet;
import java.util.stream.IntStream;

/**
 * Scores as a forest's score0 (GBM, DRF, isolation forest), to the bit: H2O reads the bytes of its trees anew for each row.
 *
 * <p>The trees come from H2O's own reader, and their sums go through its unifyPreds.
 */
public final class MojoForest implements BlockScorer {
  private static final long MAX_SHARE = 32; // of the heap: our form of H2O's trees takes six times their bytes

  private final SharedTreeMojoModel model;
  private final Forest forest;
  private final int columns;
  private final int width;

  /** The scorer of `model`; null if it has no trees, too many, or other scores. */
  public static MojoForest of(GenModel model, int columns, int width) {
    if (!(model instanceof SharedTreeMojoModel trees) || columns != trees.nfeatures() || isLarge(trees)) {
      return null;
    }
    try {
      MojoForest made = new MojoForest(trees, columns, width);
      return made.forest.agree(made, Score0.rowByRow(model, columns, width)) ? made : null;
    } catch (RuntimeException error) {
      return null; // a tree that only H2O can read
    }
  }

  private static boolean isLarge(SharedTreeMojoModel model) {
    long bytes = 0;
    for (int group = 0; group < model.getNTreeGroups(); group++) {
      for (int tree = 0; tree < model.getNTreesPerGroup(); tree++) {
        byte[] one = model.treeBytes(group, tree);
        bytes += one == null ? 0 : one.length;
      }
    }
    return bytes > Runtime.getRuntime().maxMemory() / MAX_SHARE;
  }

  private MojoForest(SharedTreeMojoModel model, int columns, int width) {
    this.model = model;
    this.columns = columns;
    this.width = width;
    ForestBuilder builder = new ForestBuilder(IntStream.range(0, columns).map(this::levels).toArray(), width);
    int first = model.nclasses() == 1 ? 0 : 1;
    for (int group = 0; group < model.getNTreeGroups(); group++) {
      var graph = model.computeGraph(group);
      for (int tree = 0; tree < model.getNTreesPerGroup(); tree++) {
        SharedTreeNode root = graph.subgraphArray.get(tree).rootNode;
        if (root != null) { // a class may have no tree in a group
          grow(builder, root, builder.addTree(first + tree));
        }
      }
    }
    this.forest = builder.build();
  }

  private int levels(int column) {
    String[] domain = model.getDomainValues(column);
    return domain == null ? 0 : domain.length;
  }

  private void grow(ForestBuilder builder, SharedTreeNode from, int node) {
    if (from.isLeaf()) {
      builder.setLeaf(node, from.getPredValue());
      return;
    }
    boolean isNearLeft = from.isLeftward(); // where a missing value goes
    int near;
    if (from.getBs() != null) {
      near = builder.split(node, from.getColId(), far(from));
    } else if (from.isNaVsRest()) {
      near = builder.splitMissing(node, from.getColId(), !isNearLeft);
    } else {
      near = builder.split(node, from.getColId(), from.getSplitValue(), isNearLeft);
    }
    grow(builder, isNearLeft ? from.getLeftChild() : from.getRightChild(), near);
    grow(builder, isNearLeft ? from.getRightChild() : from.getLeftChild(), near + 1);
  }

  private BitSet far(SharedTreeNode node) {
    GenmodelBitSet set = node.getBs();
    BitSet far = new BitSet();
    for (int level = 0; level < levels(node.getColId()); level++) {
      far.set(level, set.isInRange(level) && set.contains(level) == node.isLeftward());
    }
    return far;
  }

  @Override
  public void score(double[] rows, int count, double[] scores) {
    double[] sums = forest.sums(rows, count);
    double[] row = new double[columns];
    double[] one = new double[width];
    for (int number = 0; number < count; number++) {
      System.arraycopy(rows, number * columns, row, 0, columns);
      System.arraycopy(sums, number * width, one, 0, width);
      model.unifyPreds(row, 0, one);
      System.arraycopy(one, 0, scores, number * width, width);
    }
  }
}
