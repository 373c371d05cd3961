#!/bin/sh
# A CGI script for fcgiwrap, which gives it one process per request.
case "${REQUEST_URI%%\?*}" in
/cat) # The body, as it came.
    printf 'Content-Type: application/octet-stream\r\n\r\n'
    head -c "${CONTENT_LENGTH:-0}"
    ;;
/stderr)
    echo 'a line for the error log' >&2
    printf 'Content-Type: text/plain\r\n\r\nanswered\n'
    ;;
/early) # An answer without reading the body.
    printf 'Content-Type: text/plain\r\n\r\nearly\n'
    ;;
/slow) # ?ms= milliseconds of silence first.
    ms=${QUERY_STRING#ms=}
    sleep "$((ms / 1000)).$(printf %03d $((ms % 1000)))"
    printf 'Content-Type: text/plain\r\n\r\nawake\n'
    ;;
*)
    printf 'Status: 404 Not Found\r\nContent-Type: text/plain\r\n\r\nno such path\n'
    ;;
esac
