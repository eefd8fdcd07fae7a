/* An honest program with a library of its own. It exits with 7, whatever it loads on
 * the way: a plugin that it is given, or a character set. */
#include <dlfcn.h>
#include <iconv.h>
#include <string.h>

int spare(void);

int main(int count, char **words) {
    if (count > 2 && strcmp(words[1], "plugin") == 0 && !dlopen(words[2], RTLD_NOW)) return 1;
    if (count > 1 && strcmp(words[1], "charset") == 0) iconv_open("UTF-8", "ATTACK//");
    return spare();
}
