// One long line, no licence, no header of this name.
int stray() { return 1111111111 + 1111111111 + 1111111111 + 1111111111 + 1111111111 + 1111111111 + 1111111; }
TEST_CASE("stray") {}
