package hotswap.java;

import hotswap.flat.Declined;

/** Writes a request's rows as CSV: a header, and a line for each. */
public final class JarCsv {
  private final String header;
  private final boolean[] areQuoted;
  private final StringBuilder text = new StringBuilder();

  /**
   * @param header the first line, with its end
   * @param areQuoted for each ASCII character, whether a cell that has it is quoted; no cell is for another one
   */
  public JarCsv(String header, boolean[] areQuoted) {
    this.header = header;
    this.areQuoted = areQuoted;
  }

  /** Throws Declined for a line that is empty. */
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
