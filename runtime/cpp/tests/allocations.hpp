// The number of calls of operator new so far. In a file of its own, because GCC gives false
// warnings if it can inline a replaced operator new.
#pragma once

long allocations();
