import com.google.protobuf.CodedInputStream;
import com.google.protobuf.CodedOutputStream;
import com.google.protobuf.WireFormat;
import java.io.IOException;
import java.util.Arrays;
import numbers.Applicant;
import numbers.Numbers;
import numbers.Verdict;

/** Verdict f(Applicant), by setters and getters. */
final class Applicants implements Scorer {
  private final byte[] answer = new byte[64];

  Applicants(String model) {}

  @Override
  public byte[] score(byte[] request) throws IOException {
    Applicant applicant = new Applicant();
    CodedInputStream in = CodedInputStream.newInstance(request);
    for (int tag; (tag = in.readTag()) != 0; ) {
      switch (WireFormat.getTagFieldNumber(tag)) {
        case 1 -> applicant.setIncome(in.readDouble());
        case 2 -> applicant.setDebt(in.readDouble());
        case 3 -> applicant.setAge(in.readInt64());
        case 4 -> applicant.setCountry(in.readStringRequireUtf8());
        default -> in.skipField(tag);
      }
    }
    Verdict verdict = Numbers.judge(applicant);
    CodedOutputStream out = CodedOutputStream.newInstance(answer);
    out.writeString(1, verdict.getLabel());
    out.writeDouble(2, verdict.getRisk());
    return Arrays.copyOf(answer, out.getTotalBytesWritten());
  }
}
