package hotswap.java;

import hotswap.flat.Declined;

/** Writes the rows of a request as CSV, with a header. */
public final class JarCsv {
  private final String header;
  private final boolean[] areQuoted;
  private final StringBuilder text = new StringBuilder();

  /**
   * @param header the first line, with its line break
   * @param areQuoted whether a cell with this ASCII character is quoted; no other character quotes it
   */
  public JarCsv(String header, boolean[] areQuoted) {
    this.header = header;
    this.areQuoted = areQuoted;
  }

  /** Throws Declined for an empty line. */
  String text(Object[] cells, int rows, int width) {
    text.setLength(0);
    text.append(header);
    for (int row = 0; row < rows; row++) {
      if (width == 0 || width == 1 && ((String) cells[row]).isEmpty()) {
        throw new Declined();
      }
      for (int place = 0; place < width; place++) {
        write((String) cells[row * width + place]);
        text.append(place + 1 < width ? ',' : '\n');
      }
    }
    return text.toString();
  }

  private void write(String cell) {
    for (int at = 0; at < cell.length(); at++) {
      char letter = cell.charAt(at);
      if (letter < areQuoted.length && areQuoted[letter]) {
        text.append('"').append(cell.replace("\"", "\"\"")).append('"');
        return;
      }
    }
    text.append(cell);
  }
}
