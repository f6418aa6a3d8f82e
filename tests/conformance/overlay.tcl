# Appended to a copy of the suite's tests/support/util.tcl before a run against a server from
# outside. The suite goes on after a failing test, but ends a file where a block of tests cannot be
# started, as when one of the block's settings is unknown. With this the block, within another one
# or not, is reported as failed, and what follows it runs. A server that fails nothing never comes
# here.

rename start_server started_without_overlay

proc start_server {options {code undefined}} {
    set before [list $::servers $::tags $::singledb]
    set status [catch {uplevel 1 [list started_without_overlay $options $code]} result]
    set trace $::errorInfo
    if {$status != 1} {
        return -code $status $result
    }
    foreach server [lrange $::servers [llength [lindex $before 0]] end] {
        catch {[dict get $server "client"] close}
    }
    lassign $before ::servers ::tags ::singledb
    send_data_packet $::test_server_fd err "a block of tests: $result\n$trace"
}

# A failing test may leave its connection in a transaction and the server short of memory or paused,
# and the tests after it would fail for that. They get a new connection and usual settings.
rename test tested_without_overlay

proc test {name code args} {
    set failed_before $::num_failed
    set status [catch {uplevel 1 [list tested_without_overlay $name $code {*}$args]} result]
    set trace $::errorInfo
    if {$::num_failed > $failed_before && [llength $::servers] > 0} {
        catch {reconnect}
        foreach usual {
            {client unpause}
            {config set maxmemory 0}
            {debug set-active-expire 1}
        } {
            catch {r {*}$usual}
        }
    }
    if {$status == 1} {
        error $result $trace
    }
    return -code $status $result
}
