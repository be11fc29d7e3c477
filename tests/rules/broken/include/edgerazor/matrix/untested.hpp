#pragma once
/// What no test is named after:
///     value = level
/// * scale
inline int untested() { return 1; }
