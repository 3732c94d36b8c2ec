// How often the program has asked for memory so far. In a file of its own: a compiler that sees
// through a replaced operator new warns of what is right.
#pragma once

long allocations();
