#include "interrupt.hpp"

#include <csignal>

namespace {

volatile std::sig_atomic_t latest = 0;

extern "C" void record(int signal) {
  latest = signal;
  std::signal(signal, SIG_DFL);  // a second one ends the program at once
}

}  // namespace

void record_interrupts() {
  std::signal(SIGINT, record);
  std::signal(SIGTERM, record);
#ifdef SIGHUP
  std::signal(SIGHUP, record);
#endif
}

int interrupted_by() { return latest; }
