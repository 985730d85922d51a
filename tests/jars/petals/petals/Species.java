package petals;

/** How probable each kind of iris is. */
public class Species {
    private final double setosa;
    private final double versicolor;
    private final double virginica;

    Species(double setosa, double versicolor, double virginica) {
        this.setosa = setosa;
        this.versicolor = versicolor;
        this.virginica = virginica;
    }

    public String getSpecies() {
        return setosa > versicolor ? "setosa" : versicolor > virginica ? "versicolor" : "virginica";
    }

    public double getSetosa() {
        return setosa;
    }

    public double getVersicolor() {
        return versicolor;
    }

    public double getVirginica() {
        return virginica;
    }
}
