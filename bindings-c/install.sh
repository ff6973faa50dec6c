#!/bin/sh
# Installs the C library below a prefix: headers, both libraries, and what pkg-config and CMake look for.
#
#     install.sh FOLDER PREFIX
#
# FOLDER is where cargo has put libcode_service.a and libcode_service.so. DESTDIR is put before PREFIX where files go,
# and not where they say that they are.
set -eu
[ $# = 2 ] || { sed -n '2,7s/^# \{0,1\}//p' "$0" >&2; exit 2; }
from=$1
prefix=$2
case $prefix in
    /*) ;;
    *) echo "install.sh: the prefix must begin with a slash, and is $prefix" >&2; exit 2 ;;
esac
here=$(cd "$(dirname "$0")" && pwd)
version=$(sed -n 's/^version = "\(.*\)"$/\1/p' "$here/../Cargo.toml" | head -n 1)
# As the library itself says what it is: before 1.0 each minor version is another interface.
case $version in
    0.*) interface=${version%.*} ;;
    *) interface=${version%%.*} ;;
esac
include=${DESTDIR-}$prefix/include
lib=${DESTDIR-}$prefix/lib

mkdir -p "$include" "$lib/pkgconfig" "$lib/cmake/code_service"
install -m 644 "$here/../include/code_service.h" "$here/../include/code_service.hpp" "$include"
install -m 644 "$from/libcode_service.a" "$lib"
install -m 755 "$from/libcode_service.so" "$lib/libcode_service.so.$version"
ln -sf "libcode_service.so.$version" "$lib/libcode_service.so.$interface"
ln -sf "libcode_service.so.$interface" "$lib/libcode_service.so"
fill() {
    sed -e "s|@PREFIX@|$prefix|g" -e "s|@VERSION@|$version|g" -e "s|@INTERFACE@|$interface|g" "$here/$1" >"$2"
}
fill code_service.pc.in "$lib/pkgconfig/code_service.pc"
fill code_service-config.cmake.in "$lib/cmake/code_service/code_service-config.cmake"
fill code_service-config-version.cmake.in "$lib/cmake/code_service/code_service-config-version.cmake"
