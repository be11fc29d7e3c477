int main() {
  // ---- README.md
  const char* text = "a; b [c]";
  // ----
  return text == nullptr;
}
