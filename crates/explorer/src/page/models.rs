//! Models: the list, and one with its lineage as a picture.

use super::{MAX_ROWS, cut, parse};
use crate::{Explorer, Failure, Page, format};
use alloy_primitives::{Address, B256};
use askama::Template;
use axum::{
    extract::{Path, State},
    response::Html,
};
use interfaces::{addresses, datanets::IDatanets, models::IModels};

#[derive(Template)]
#[template(path = "models.html")]
struct List {
    rows: Vec<Row>,
}

struct Row {
    id: String,
    name: String,
    status: &'static str,
    developer: Address,
    developer_short: String,
    licence: String,
}

#[derive(Template)]
#[template(path = "model.html")]
struct Shown {
    id: B256,
    name: String,
    status: &'static str,
    m: IModels::Model,
    training: Option<IModels::Training>,
    rate_in: String,
    rate_out: String,
    platform: String,
    picture: Picture,
}

/// Boxes from left to right: data, ancestors, this model.
struct Picture {
    label: String,
    width: usize,
    height: usize,
    boxes: Vec<PictureBox>,
    lines: Vec<(usize, usize, usize, usize)>,
}

struct PictureBox {
    x: usize,
    y: usize,
    href: String,
    title: String,
    note: String,
}

fn status(status: IModels::Status) -> &'static str {
    match status {
        IModels::Status::Imported => "imported",
        IModels::Status::Registered => "registered",
        IModels::Status::Training => "training",
        IModels::Status::Ready => "ready",
        IModels::Status::Retired => "retired",
        _ => "unknown",
    }
}

/// Shows all models.
pub async fn list(State(explorer): State<Explorer>) -> Page {
    let count = explorer.view(addresses::MODELS, &IModels::countCall {}).await?.unwrap_or_default();
    let mut rows = Vec::new();
    for index in (0..count).rev().take(MAX_ROWS) {
        let Some(id) = explorer.view(addresses::MODELS, &IModels::modelAtCall { index }).await? else {
            continue;
        };
        let Some(m) = explorer.view(addresses::MODELS, &IModels::modelCall { model: id }).await? else {
            continue;
        };
        rows.push(Row {
            id: id.to_string(),
            name: m.name,
            status: status(m.status),
            developer: m.developer,
            developer_short: format::short_address(&m.developer),
            licence: m.licence,
        });
    }
    Ok(Html(List { rows }.render()?))
}

/// Shows one.
pub async fn show(State(explorer): State<Explorer>, Path(id): Path<String>) -> Page {
    let id = parse::<B256>(&id, "model id")?;
    let missing = || Failure::NotFound(format!("model {id}"));
    let m = explorer.view(addresses::MODELS, &IModels::modelCall { model: id }).await?.ok_or_else(missing)?;
    if m.status == IModels::Status::None {
        return Err(missing());
    }
    let training = explorer.view(addresses::MODELS, &IModels::trainingCall { model: id }).await?;
    let training = training.filter(|t| !t.descriptorDigest.is_zero());
    let picture = picture(&explorer, id, training.as_ref()).await?;
    let page = Shown {
        id,
        name: m.name.clone(),
        status: status(m.status),
        rate_in: format::open(m.rates.rateIn),
        rate_out: format::open(m.rates.rateOut),
        platform: format::open(m.rates.platformFee),
        training,
        picture,
        m,
    };
    Ok(Html(page.render()?))
}

async fn picture(
    explorer: &Explorer,
    id: B256,
    training: Option<&IModels::Training>,
) -> Result<Picture, Failure> {
    let lineage = explorer
        .view(addresses::MODELS, &IModels::lineageCall { model: id })
        .await?
        .unwrap_or_else(|| vec![id]);
    let mut boxes = Vec::new();
    let mut lines = Vec::new();
    let data = training.map(|t| t.descriptor.data.as_slice()).unwrap_or_default();
    let (mut label, top) = (String::from("Lineage:"), data.len().max(1) * 60 - 60);
    for (row, version) in data.iter().take(MAX_ROWS).enumerate() {
        let datanet =
            explorer.view(addresses::DATANETS, &IDatanets::datanetCall { datanet: version.datanet }).await?;
        let title = datanet.map(|d| d.name).unwrap_or_else(|| format::short_hash(&version.datanet));
        label += &format!(" Datanet {title} version {};", version.version);
        lines.push((210, row * 60 + 33, 240, top / 2 + 33));
        boxes.push(PictureBox {
            x: 10,
            y: row * 60 + 10,
            href: format!("/datanet/{}", version.datanet),
            title: cut(&title, 24),
            note: format!("Datanet, version {}", version.version),
        });
    }
    let columns = lineage.len();
    for (column, model) in lineage.iter().rev().enumerate() {
        let m = explorer.view(addresses::MODELS, &IModels::modelCall { model: *model }).await?;
        let title = m.as_ref().map(|m| m.name.clone()).unwrap_or_else(|| format::short_hash(model));
        label += &format!(" model {title};");
        let x = 240 + column * 230;
        if column > 0 {
            lines.push((x - 30, top / 2 + 33, x, top / 2 + 33));
        }
        boxes.push(PictureBox {
            x,
            y: top / 2 + 10,
            href: format!("/model/{model}"),
            title: cut(&title, 24),
            note: m.map(|m| cut(&m.licence, 28)).unwrap_or_default(),
        });
    }
    Ok(Picture { label, width: 240 + columns * 230, height: top + 66, boxes, lines })
}
