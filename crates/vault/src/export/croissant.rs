//! Croissant 1.1 (MLCommons): JSON-LD that says what each file and field is.

use super::table::{NUMBERS, TEXTS};
use super::{ExportOptions, ExportedFile, Facts};
use serde_json::{Value, json};

/// The context that the specification prescribes (Croissant 1.1, section "JSON-LD context").
fn context() -> Value {
    let mut context = json!({
        "@language": "en",
        "@vocab": "https://schema.org/",
        "arrayShape": "cr:arrayShape",
        "citeAs": "cr:citeAs",
        "column": "cr:column",
        "conformsTo": "dct:conformsTo",
        "containedIn": "cr:containedIn",
        "cr": "http://mlcommons.org/croissant/",
        "data": { "@id": "cr:data", "@type": "@json" },
        "dataBiases": "cr:dataBiases",
        "dataCollection": "cr:dataCollection",
        "dataType": { "@id": "cr:dataType", "@type": "@vocab" },
        "dct": "http://purl.org/dc/terms/",
        "equivalentProperty": "cr:equivalentProperty",
        "examples": { "@id": "cr:examples", "@type": "@json" },
        "extract": "cr:extract",
        "field": "cr:field",
        "fileObject": "cr:fileObject",
        "fileProperty": "cr:fileProperty",
        "fileSet": "cr:fileSet",
        "format": "cr:format",
        "includes": "cr:includes",
        "isArray": "cr:isArray",
        "isLiveDataset": "cr:isLiveDataset",
        "jsonPath": "cr:jsonPath",
        "key": "cr:key",
        "md5": "cr:md5",
        "parentField": "cr:parentField",
        "path": "cr:path",
        "personalSensitiveInformation": "cr:personalSensitiveInformation",
        "recordSet": "cr:recordSet",
        "references": "cr:references",
        "regex": "cr:regex",
        "repeated": "cr:repeated",
        "replace": "cr:replace",
        "samplingRate": "cr:samplingRate",
        "sc": "https://schema.org/",
        "separator": "cr:separator",
        "source": "cr:source",
        "subField": "cr:subField",
        "transform": "cr:transform"
    });
    // One more would be past the macro's limit.
    context["rai"] = "http://mlcommons.org/croissant/RAI/".into();
    context
}

/// A licence as an address where SPDX has one.
fn licence_address(expression: &str) -> String {
    let single = spdx::license_id(expression).is_some();
    if single { format!("https://spdx.org/licenses/{expression}.html") } else { expression.into() }
}

pub(super) fn describe(options: &ExportOptions, facts: &Facts, data: &ExportedFile) -> String {
    let field = |name: &str, description: &str, data_type: &str| {
        json!({
            "@type": "cr:Field",
            "@id": format!("items/{name}"),
            "name": name,
            "description": description,
            "dataType": data_type,
            "source": { "fileObject": { "@id": "train.parquet" }, "extract": { "column": name } },
        })
    };
    let fields: Vec<Value> = TEXTS
        .iter()
        .map(|(name, text)| field(name, text, "sc:Text"))
        .chain(NUMBERS.iter().map(|(name, text)| field(name, text, "sc:Integer")))
        .collect();
    let licences: Vec<String> = facts.licences.keys().map(|l| licence_address(l)).collect();
    let personal: Vec<String> =
        facts.findings.iter().map(|(kind, items)| format!("{kind}: found in {items} items")).collect();
    let mut description = json!({
        "@context": context(),
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.1",
        "name": options.name,
        "description": options.description,
        "license": licences,
        "version": options.version,
        "datePublished": options.date,
        "citeAs": format!("{}: {}, version {} ({})", options.publisher, options.name, options.version, options.date),
        "url": format!("urn:openledger:training-set:{}", options.set),
        "creator": { "@type": "sc:Organization", "name": options.publisher },
        "isLiveDataset": false,
        "distribution": [{
            "@type": "cr:FileObject",
            "@id": "train.parquet",
            "name": "train.parquet",
            "description": "All items, one a row.",
            "contentUrl": data.path,
            "contentSize": format!("{} B", data.bytes),
            "encodingFormat": "application/x-parquet",
            "sha256": data.sha256,
        }],
        "recordSet": [{
            "@type": "cr:RecordSet",
            "@id": "items",
            "name": "items",
            "description": "The items of the training set in their frozen order.",
            "key": { "@id": "items/leaf" },
            "field": fields,
        }],
    });
    if !personal.is_empty() {
        description["personalSensitiveInformation"] = json!(personal);
    }
    serde_json::to_string_pretty(&description).unwrap_or_default() + "\n"
}
