#pragma once
namespace edgerazor::inline v0 {
inline void gemv() {}
}
