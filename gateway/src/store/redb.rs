//! The embedded store: one redb file, one table, JSON records.

use super::{Loaded, Record, Store, StoreError};
use ::redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};
use std::fmt::Display;
use std::path::Path;

const FUNCTIONS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("functions");

/// Records in a redb file.
pub(crate) struct RedbStore {
    database: Database,
}

impl RedbStore {
    /// Opens the file, or makes it.
    pub(crate) fn open(path: &Path) -> Result<Self, StoreError> {
        let database = Database::create(path).map_err(failed("open"))?;
        let write = database.begin_write().map_err(failed("open"))?;
        write.open_table(FUNCTIONS).map_err(failed("open"))?;
        write.commit().map_err(failed("open"))?;
        Ok(Self { database })
    }
}

impl Store for RedbStore {
    fn load(&self) -> Result<Vec<Loaded>, StoreError> {
        let read = self.database.begin_read().map_err(failed("read"))?;
        let table = read.open_table(FUNCTIONS).map_err(failed("read"))?;
        let mut records = Vec::new();
        for entry in table.iter().map_err(failed("read"))? {
            let (name, bytes) = entry.map_err(failed("read"))?;
            records.push((name.value().to_owned(), Record::decode(name.value(), bytes.value())));
        }
        Ok(records)
    }

    fn put(&self, record: &Record) -> Result<(), StoreError> {
        let bytes = serde_json::to_vec(record).map_err(failed("encode a record for"))?;
        let write = self.database.begin_write().map_err(failed("write to"))?;
        {
            let mut table = write.open_table(FUNCTIONS).map_err(failed("write to"))?;
            table.insert(record.name.as_str(), bytes.as_slice()).map_err(failed("write to"))?;
        }
        write.commit().map_err(failed("write to"))
    }

    fn remove(&self, name: &str) -> Result<bool, StoreError> {
        let write = self.database.begin_write().map_err(failed("write to"))?;
        let existed = {
            let mut table = write.open_table(FUNCTIONS).map_err(failed("write to"))?;
            table.remove(name).map_err(failed("write to"))?.is_some()
        };
        write.commit().map_err(failed("write to"))?;
        Ok(existed)
    }
}

fn failed<E: Display>(step: &'static str) -> impl Fn(E) -> StoreError {
    move |error| StoreError { step, reason: error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::super::example_record;
    use super::*;

    #[test]
    fn records_outlive_the_store() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("spore.redb");
        let store = RedbStore::open(&path).unwrap();
        store.put(&example_record("a")).unwrap();
        store.put(&example_record("b")).unwrap();
        let mut replaced = example_record("a");
        replaced.revision = "r2".to_owned();
        store.put(&replaced).unwrap();
        assert!(store.remove("b").unwrap());
        assert!(!store.remove("b").unwrap());
        drop(store);
        let loaded = RedbStore::open(&path).unwrap().load().unwrap();
        assert_eq!(loaded, [("a".to_owned(), Ok(replaced))]);
    }

    #[test]
    fn a_damaged_record_does_not_hide_the_others() {
        let dir = tempfile::tempdir().unwrap();
        let store = RedbStore::open(&dir.path().join("spore.redb")).unwrap();
        store.put(&example_record("good")).unwrap();
        let write = store.database.begin_write().unwrap();
        write.open_table(FUNCTIONS).unwrap().insert("bad", &b"{"[..]).unwrap();
        write.commit().unwrap();
        let loaded = store.load().unwrap();
        assert_eq!(loaded.len(), 2);
        assert!(loaded.iter().any(|(name, record)| name == "bad" && record.is_err()));
        assert!(loaded.iter().any(|(name, record)| name == "good" && record.is_ok()));
    }

    #[test]
    fn a_file_that_is_no_store_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("spore.redb");
        std::fs::write(&path, b"this is no database at all").unwrap();
        let Err(error) = RedbStore::open(&path) else { panic!("opened") };
        assert!(error.to_string().contains("cannot open the function store"), "{error}");
    }
}
