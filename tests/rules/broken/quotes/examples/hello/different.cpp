int main() {
  int two = 1 + 1;
  // ---- README.md
  two = two * two;
  // ----
  // ---- README.md
  two = two - 2;
  // ----
  return two;
}
