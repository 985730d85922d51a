package flat;

import java.util.BitSet;

/** What it raises, only Java's own code is in. */
public class Bits extends BitSet {
    private static final long serialVersionUID = 1;
}
