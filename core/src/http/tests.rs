//! Readings of a request that hosts and guest must share.

use super::partition_of;

#[test]
fn targets_name_partitions_as_the_guest_reads_them() {
    for (target, name) in [
        ("/health", "main"),
        ("/p/x/health", "x"),
        ("/p/x", "x"),
        ("/p/x?limit=1", "x"),
        ("/p/X/health", "main"),
        ("/p/", "main"),
        ("/p//health", "main"),
        ("/a/../p/x/health", "x"),
        ("/p/x/../y/health", "y"),
        ("/p/x/%2e%2E/y", "y"),
        ("/%70/x/health", "x"),
        ("/p/%78/health", "x"),
        ("/p/x%2Fy/health", "main"),
        ("/./p/./x/.", "x"),
        ("/p/x/..", "main"),
        ("/..%2fp/x", "main"),
        ("*", "main"),
        ("", "main"),
        ("/%", "main"),
        ("/?/p/x/../y", "main"),
    ] {
        assert_eq!(partition_of(target), name, "{target}");
    }
}
