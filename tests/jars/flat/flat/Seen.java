package flat;

/** A record of scalars, of which the jar shows only what the model returns. */
record Seen(String label, float score, long asked, Color color) {}
