// libcuda.so.1 for tests on machines without a GPU: the driver's functions that ddpm-rt needs, on
// the host, strict.
#include "control.h"
#include "device.h"
#include "device_calls.h"
#include "graph_calls.h"
#include "stream_calls.h"
#include "table.h"
