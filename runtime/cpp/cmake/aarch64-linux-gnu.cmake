# For Jetson, Raspberry Pi and other 64-bit ARM, with Debian's g++-aarch64-linux-gnu; ctest runs through qemu-user.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_C_COMPILER aarch64-linux-gnu-gcc)
set(CMAKE_CXX_COMPILER aarch64-linux-gnu-g++)
set(CMAKE_FIND_ROOT_PATH /usr/aarch64-linux-gnu)
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE BOTH) # header-only libraries of the host
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY BOTH) # ONNXRUNTIME_LIBRARY is outside of the sysroot
set(CMAKE_CROSSCOMPILING_EMULATOR qemu-aarch64;-L;/usr/aarch64-linux-gnu)
