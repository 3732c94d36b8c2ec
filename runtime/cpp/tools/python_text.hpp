// Values as Python writes them, where a text must be the one that Python would write.
#pragma once

#include <string>

// The repr of a float, which its JSON is as well: 1.0, 0.1, 1e-05.
std::string python_text(double value);
