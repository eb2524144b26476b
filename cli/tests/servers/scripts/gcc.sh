# gcc and binutils: programs compiled, linked in several ways and run; a library, an archive, errors.
cp /opt/hello.c /tmp
cat >/tmp/part.c <<'END'
int part(int x) { static const int table[] = {3, 1, 4, 1, 5, 9, 2, 6}; int s = 0; for (int i = 0; i < 8; i++) s += table[i] * x; return s; }
END
printf '#include <stdio.h>\nint part(int);\nint main(void) { printf("%%d\\n", part(2)); return 0; }\n' >/tmp/main.c
for options in '' '-O2' '-O3 -flto' '-static' '-static -O2 -g' '-O1 -fPIE -pie -Wl,-z,now' '-O2 -march=x86-64-v2 -fstack-protector-all -D_FORTIFY_SOURCE=2'; do
    gcc-12 -Wall -Wextra $options -o /tmp/hello /tmp/hello.c -lm && /tmp/hello 2 && echo unreachable
    echo "$options: $?"
done
gcc-12 -O2 -S -o - /tmp/part.c | sha256sum; gcc-12 -E -dM -x c /dev/null | sort | sha256sum; gcc-12 -O2 -c -o /tmp/part.o /tmp/part.c
objdump -d /tmp/part.o | grep -c ':'; nm /tmp/part.o; size /tmp/part.o; readelf -S /tmp/part.o | grep -c PROGBITS
ar rcsD /tmp/libpart.a /tmp/part.o && ar t /tmp/libpart.a && gcc-12 -o /tmp/main /tmp/main.c -L/tmp -lpart && /tmp/main
gcc-12 -shared -fPIC -o /tmp/libshared.so /tmp/part.c && gcc-12 -o /tmp/main /tmp/main.c -L/tmp -lshared -Wl,-rpath,/tmp && /tmp/main
strip /tmp/main && /tmp/main; gcc-12 -o /tmp/main /tmp/main.c -L/tmp 2>&1 | sed 's/cc[A-Za-z0-9]*\.o/OBJECT/'
printf 'int main(void) { return x }\n' | gcc-12 -x c -; echo $?
printf 'int main(void) { int unused; return "text"; }\n' | gcc-12 -Wall -x c - -fsyntax-only; echo $?
gcc-12 /tmp/missing.c; echo $?
gcc-12 -pipe -save-temps=obj -o /tmp/saved /tmp/main.c /tmp/part.c && ls /tmp/saved* && /tmp/saved; gcc-12 -print-file-name=libc.a; gcc-12 -dumpversion
ls /tmp/cc* 2>/dev/null
true
