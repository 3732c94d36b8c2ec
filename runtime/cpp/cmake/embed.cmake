# Writes the bytes of the file FROM as a C++ array to the file TO.
file(READ ${FROM} bytes HEX)
string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${bytes}")
string(REGEX REPLACE "(0x[^,]+,0x[^,]+,0x[^,]+,0x[^,]+,0x[^,]+,0x[^,]+,0x[^,]+,0x[^,]+,)" "\\1\n" bytes "${bytes}")
file(WRITE ${TO} "extern \"C\" {\nalignas(16) extern const unsigned char ddpm_rt_fatbin[] = {\n${bytes}\n};\n}\n")
