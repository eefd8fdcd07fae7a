. /work/unbound.sh
ZONE=/etc/app-hosts
