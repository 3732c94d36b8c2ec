// Signals that end the program: SIGINT, SIGTERM and SIGHUP.
#pragma once

// From now on the first of each signal is only recorded, so that no temporary file is left.
void record_interrupts();

// The latest such signal; 0 if there was none.
int interrupted_by();
