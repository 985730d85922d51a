package petals;

/** Tells irises apart by their petals: the nearer a kind's usual length, the more probable it is. */
public class Botanist {
    private static final double[] USUAL = {1.46, 4.26, 5.55};

    public static Species classify(double sepal_length, double sepal_width, double petal_length, double petal_width) {
        double[] near = new double[USUAL.length];
        double sum = 0;
        for (int i = 0; i < near.length; i++) {
            double away = petal_length - USUAL[i];
            near[i] = 1 / (1 + away * away);
            sum += near[i];
        }
        return new Species(near[0] / sum, near[1] / sum, near[2] / sum);
    }
}
