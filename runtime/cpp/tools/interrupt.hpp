// Signals that end the program: SIGINT, SIGTERM and SIGHUP.
#pragma once

#include <string>

// Thrown after a signal.
struct Interrupted {
  std::string kept;  // what is there, and what the same command does
};

// From now on the first of each signal is only recorded, so that no temporary file is left.
void record_interrupts();

// The latest such signal; 0 if there was none.
int interrupted_by();
