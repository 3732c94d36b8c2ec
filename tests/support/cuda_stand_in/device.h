// The driver's functions on itself, its devices, contexts, pools and pointers.
#pragma once
#include "world.h"

constexpr Handle kContext = 0x1000, kPool = 0x2000;  // of device 0; the same in every test

inline Handle context_of(int device) { return kContext + 16 * device; }
