# As php-fpm.sh, for an application that runs no other program.
. /client/php-fpm.sh
work() { fcgi /srv/php/alone.php | tr -d '\r' | sed 1,/^$/d; }
