. /client/haproxy.sh
CFG=/etc/haproxy/chroot.cfg
